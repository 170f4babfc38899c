"""The benchmark of evaluators: what is installed is compared, what is not is named."""

import json

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
