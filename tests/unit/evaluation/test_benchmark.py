"""The benchmark of evaluators: what is installed is compared, what is not is named."""

import json

import numpy as np
import pytest
from benchmarks import evaluation as benchmark
from benchmarks import evaluation_run
from benchmarks.evaluation import Load, bench, differences, page, write

TINY = ("--images", "6", "--objects", "30", "--per-image", "9", "--classes", "5")
LOADS = {
    "boxes": Load("tiny", "bbox", "coco", TINY, "pycocotools", ("rankdet", "absent")),
    "masks": Load(
        "tiny", "segm", "coco", (*TINY, "--with-masks"), "pycocotools", ("rankdet", "vernier")
    ),
    "LVIS": Load("tiny", "bbox", "lvis", (*TINY, "--lvis"), "absent", ("rankdet",)),
}


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setitem(evaluation_run.EVALUATORS, "absent", ("no-such-package", print))
    return bench(LOADS, 1)


def test_installed_evaluators_agree_and_absent_ones_are_named(rows, tmp_path):
    found = {(row["load"], row["evaluator"]): row for row in rows}
    for load in ("boxes", "masks"):
        row = found[load, "rankdet"]
        assert (row["compared_with"], row["shared_numbers"]) == ("pycocotools", 12)
        assert row["largest_difference"] == 0
        assert 0 < row["cpu_s"] <= row["process_cpu_s"] and row["peak_mib"] > 20
    assert (
        found["boxes", "absent"]["remark"] == found["LVIS", "absent"]["remark"] == "not installed"
    )
    assert found["LVIS", "rankdet"]["shared_numbers"] == 13  # with itself, without the reference
    write(rows, tmp_path)
    text = (tmp_path / "bench.md").read_text()
    assert "| boxes | absent | - | not installed |" in text
    assert "12 of pycocotools: equal" in text and "same pass" in text
    assert (tmp_path / "bench.csv").read_text().count("\n") == len(rows) + 1


def test_a_difference_is_seen():
    assert differences({"AP": 0.5, "own": 1}, {"AP": 0.25, "other": 2}) == {"AP": 0.25}
    assert differences({"APs": None}, {"APs": -1}) == {"APs": 0}
    assert differences({"APs": None}, {"APs": 0.5}) == {"APs": float("inf")}
    row = {"load": "x", "evaluator": "y", "version": "1", "cpu_s": 1.0, "times_fastest": 1.0}
    row |= {"peak_mib": 1, "oLRP": None, "shared_numbers": 1, "compared_with": "z"}
    assert "1 of z: 0.2" in page([row | {"largest_difference": 0.2}])


def test_an_evaluator_that_fails_is_a_remark(tmp_path, capsys, monkeypatch):
    def fail(task):
        raise ValueError("no boxes")

    monkeypatch.setitem(evaluation_run.EVALUATORS, "absent", ("x", fail))
    evaluation_run.main("absent", str(tmp_path), "bbox", "coco")
    assert json.loads(capsys.readouterr().out) == {"error": "ValueError: no boxes"}
    assert benchmark.installed("rankdet") == "this tree"


def test_the_coverage_study_counts_intervals_that_hold_the_truth(tmp_path, monkeypatch):
    from benchmarks import coverage

    monkeypatch.setattr(coverage, "POPULATION", 400)
    coverage.run(
        tmp_path / "part.json", samples=2, images=60, resamples=20, seed=1, population_seed=0
    )
    part = json.loads((tmp_path / "part.json").read_text())
    assert len(part["rows"]) == 2 * (2 * 3 + 2 * 2) and set(part["true"]) == {
        *("AP", "oLRP", "AP difference", "oLRP difference")
    }
    high = (2.0, 3.0)  # one interval that holds the truth, one above it
    part["rows"] = [
        [name, method, *ends, 0.5]
        for name in part["true"]
        for method in coverage.METHODS
        for ends in ((-1.0, 1.0), high)
    ]
    (tmp_path / "part.json").write_text(json.dumps(part))
    coverage.report([tmp_path / "part.json"], tmp_path)
    rows = (tmp_path / "coverage.csv").read_text().splitlines()
    assert rows[1].split(",") == ["0", "60", "AP", "corrected", "2", "0.5", "0.0", "0.5", "1.5"]
    assert (
        "| 0 | 60 | AP | corrected | 2 | 50.0 % | 0.0 % | 50.0 % | 150.00 |"
        in (tmp_path / "coverage.md").read_text()
    )


def test_a_sample_of_images_is_a_data_set_of_its_own():
    from benchmarks import coverage

    from rankdet.evaluation import read_detections, read_ground_truth
    from rankdet.evaluation.evaluator import scored_matches
    from rankdet.evaluation.weighted import Counted, WeightedMatches
    from tests.unit.evaluation.populations import population

    truth, rows = population(np.random.default_rng(0), images=20)
    columns = read_ground_truth(truth, "bbox")
    matches, _ = scored_matches(columns, read_detections(rows, columns), "bbox", "auto", 100)
    chosen = np.array([1, 4, 5, 9, 17])
    own = WeightedMatches(*coverage.sampled(matches, Counted.of(columns), chosen))
    weight = np.zeros(20, dtype=np.int64)
    weight[chosen] = 1
    whole = WeightedMatches(matches, Counted.of(columns)).errors(weight)
    errors = own.errors(np.ones(5, dtype=np.int64))
    np.testing.assert_allclose(errors.ap, whole.ap, atol=1e-12)
    np.testing.assert_allclose(errors.olrp, whole.olrp, atol=1e-12)
