"""The verb ``compare``: what it prints and writes, and what it refuses before work starts."""

import csv
import json
import re

import numpy as np
import pytest

from rankdet.evaluation import bootstrap
from rankdet.report import comparison
from tests.unit.evaluation.command import rankdet
from tests.unit.evaluation.populations import population

WRITTEN = ["compare.csv", "compare.json", "compare.md", "compare.png", "compare.svg"]


@pytest.fixture
def files(tmp_path):
    truth, rows = population(np.random.default_rng(0), images=30)
    truth["categories"].append({"id": 99, "name": "=absent|`x`"})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "manifest.json").write_text(
        json.dumps({"format": "coco", "val": {"annotations": "truth.json"}})
    )
    worse = [row for row in rows if row["category_id"] != 1]
    for name, content in {"a": rows, "b": worse}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "detections.json").write_text(json.dumps(content))
    return tmp_path


def test_it_prints_and_writes_the_comparison(files):
    printed, _ = rankdet(
        *("compare", files / "a", files / "b/detections.json"),
        *("--annotations", files / "truth.json", "--out", files / "new/out"),
        *("--resamples", 40, "--seed", 3),
    )
    folder = files / "new/out"
    assert sorted(path.name for path in folder.iterdir()) == WRITTEN
    document = json.loads((folder / "compare.json").read_text())
    truth, first, second = (
        json.loads((files / name).read_text())
        for name in ("truth.json", "a/detections.json", "b/detections.json")
    )
    found = bootstrap(truth, first, second, resamples=40, seed=3)
    for name, each in found.difference.numbers.items():
        known = document["numbers"]["B - A"][name]
        assert (known["low"], known["value"], known["high"]) == (each.low, each.value, each.high)
    assert document["per_class"][-1]["B - A"]["AP"] is None
    assert document["arguments"]["seed"] == 3
    assert "A: a/detections.json" in printed and "40 resamples of 30 images" in printed
    (line,) = (line for line in printed.splitlines() if line.startswith("c1 ") and "[-" in line)
    assert line.endswith("worse")
    rows = list(csv.DictReader((folder / "compare.csv").read_text().splitlines()))
    assert len(rows) == 4 + 4 * 6
    (own,) = (row for row in rows if (row["class"], row["number"]) == ("c1", "AP"))
    assert float(own["B"]) == 0 and float(own["B - A"]) == -float(own["A"])
    page = (folder / "compare.md").read_text()
    assert "| c1 |" in page and "**−" in page
    words = re.search("<desc>(.*?)</desc>", (folder / "compare.svg").read_text())[1]
    gap = found.difference.numbers["AP"]
    assert f"AP {100 * gap.value:+.1f} ({100 * gap.low:+.1f} to {100 * gap.high:+.1f}" in words
    assert re.search(r"AP by class: .*\bc1 -\d+\.\d \(.*?, worse\)", words)


def test_it_prints_without_writing(files):
    before = sorted(files.rglob("*"))
    printed, _ = rankdet(
        *("compare", files / "a", files / "a", "--dataset", files / "manifest.json"),
        *("--resamples", 10, "--method", "percentile"),
    )
    assert "percentile intervals" in printed and "+0.0   [+0.0, +0.0]" in printed
    assert "largest changes" not in printed
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--iou-type", "keypoints"], "iou_type one of bbox, segm; got 'keypoints'"),
        (["--method", "normal"], "method one of corrected, bca, percentile; got 'normal'"),
        (["--confidence", "95"], "confidence between 0 and 1; got 95"),
        (["--dataset", "x"], "either --annotations or --dataset"),
    ],
)
def test_bad_options_are_refused(files, change, message):
    words = ["compare", files / "a", files / "b", "--annotations", files / "truth.json", *change]
    _, error = rankdet(*words, "--out", files / "out", expect=2)
    assert message in error and error.count("\n") == 1 and not (files / "out").exists()


def test_a_folder_without_detections_is_refused(files):
    (files / "empty").mkdir()
    words = ("compare", files / "a", files / "empty", "--annotations", files / "truth.json")
    _, error = rankdet(*words, expect=2)
    assert "a results file, or a folder with detections.json" in error


def test_an_input_is_not_overwritten(files):
    (files / "out").mkdir()
    (files / "a/detections.json").rename(files / "out/compare.json")
    words = ("compare", files / "out/compare.json", files / "b", "--out", files / "out")
    _, error = rankdet(*words, "--annotations", files / "truth.json", expect=2)
    assert "an input of this command" in error


def test_a_class_on_few_images_has_no_verdict():
    truth, rows = population(np.random.default_rng(1), images=4)
    worse = [{**row, "bbox": [1.0, 1.0, 5.0, 5.0]} for row in rows]
    found = bootstrap(truth, rows, worse, resamples=30)
    every = comparison.by_class(found, "AP")
    assert any(row.difference and row.difference.excludes_zero for row in every)
    assert not any(row.is_significant for row in every)
    assert "0 of the 0 classes on at least 5 images" in comparison.chance(found, "AP")


def test_the_figure_shows_the_intervals():
    truth, rows = population(np.random.default_rng(2), images=30)
    worse = [{**row, "bbox": [1.0, 1.0, 5.0, 5.0]} for row in rows]
    found = bootstrap(truth, rows, worse, resamples=30)
    drawn = comparison.figure(found, ("a", "b"))
    first = drawn.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == list(found.result.numbers)
    spans = [line.get_xdata() for line in first.lines if len(line.get_xdata()) == 2]
    each = found.difference.numbers["AP"]
    assert spans[0] == pytest.approx([100 * each.low, 100 * each.high])
    assert {line.get_color() for line in first.lines[:2]} == {comparison.WORSE}
    same = comparison.figure(bootstrap(truth, rows, rows, resamples=5), ("a", "b"))
    assert [text.get_text() for text in same.axes[1].texts] == ["no difference"]
