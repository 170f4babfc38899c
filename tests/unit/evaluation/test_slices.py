"""Slices by an attribute, Fixed AP and Pooled AP, curves per class, and the options for them."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from rankdet.errors import InputError
from rankdet.evaluation import evaluate, evaluate_slices, fixed_ap, read_ground_truth
from rankdet.evaluation.lrp import SCORE_GRID
from rankdet.evaluation.metrics import per_class_curves
from tests.unit.evaluation.cases import tiny
from tests.unit.evaluation.command import rankdet
from tests.unit.evaluation.populations import population

pytestmark = pytest.mark.filterwarnings("ignore")


def of_images(truth, rows, kept):
    """Return the data set of some images alone."""
    truth = copy.deepcopy(truth)
    truth["images"] = [image for image in truth["images"] if image["id"] in kept]
    truth["annotations"] = [row for row in truth["annotations"] if row["image_id"] in kept]
    return truth, [row for row in rows if row["image_id"] in kept]


@pytest.mark.parametrize("protocol", ["coco", "lvis"])
def test_a_slice_is_the_evaluation_of_its_images(protocol):
    truth, rows = population(np.random.default_rng(0), images=20, lvis=protocol == "lvis")
    for image in truth["images"]:
        image["weather"] = [None, "rain", "sun", 3][image["id"] % 4]
        if image["id"] == 4:
            del image["weather"]
    found = evaluate_slices(truth, rows, "weather", protocol=protocol)
    assert list(found) == [3, "rain", "sun", None]
    for value, metrics in found.items():
        kept = {row["id"] for row in truth["images"] if row.get("weather") == value}
        alone = evaluate(*of_images(truth, rows, kept), protocol=protocol)
        assert metrics.numbers == alone.numbers and metrics.per_class == alone.per_class
        assert metrics.arguments["images"] == len(kept)
    mapping = {image["id"]: image["id"] > 10 for image in truth["images"] if image["id"] != 1}
    halves = evaluate_slices(read_ground_truth(truth, "bbox", protocol), rows, mapping)
    assert [halves[value].arguments["images"] for value in (False, True)] == [9, 10]
    assert (
        halves[True].numbers
        == evaluate(*of_images(truth, rows, set(range(11, 21))), protocol=protocol).numbers
    )


@pytest.mark.parametrize(
    ("by", "word"),
    [
        ("wether", "nearest: weather"),
        ({7777: "x"}, "none of their ids"),
        ({1: ["a"]}, "one value per image"),
        ({number: number for number in range(300)}, "at most 200"),
    ],
)
def test_attributes_that_cannot_be_used_are_refused(by, word):
    truth, rows = population(np.random.default_rng(1), images=250, per_image=2)
    for image in truth["images"]:
        image["weather"] = "sun"
    with pytest.raises(InputError, match=word):
        evaluate_slices(truth, rows, by)
    with pytest.raises(InputError, match="a mapping from image id"):
        evaluate_slices(read_ground_truth(truth, "bbox"), rows, "weather")


def judged(truth, rows):
    """Return pycocotools' evaluation without a limit per image."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy({"info": {}, **truth})
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(copy.deepcopy(rows)), "bbox")
        judge.params.maxDets = [100_000]
        judge.evaluate()
        judge.accumulate()
    return judge


def crowded():
    """More than 100 detections of a class on an image, more than 150 of a class in all."""
    truth, rows = population(np.random.default_rng(2), images=3, classes=2, per_image=160)
    per_image = {(row["image_id"], row["category_id"]) for row in rows}
    counts = [sum((r["image_id"], r["category_id"]) == key for r in rows) for key in per_image]
    assert max(counts) > 100
    return truth, rows


@pytest.mark.parametrize("limit", [150, 10_000])
def test_fixed_ap_is_that_of_the_best_of_each_class(limit):
    truth, rows = crowded()
    best = sorted(rows, key=lambda row: -row["score"])
    kept = [
        row
        for category in (1, 2)
        for row in [each for each in best if each["category_id"] == category][:limit]
    ]
    assert len(kept) == (300 if limit == 150 else len(rows))
    judge = judged(truth, kept)
    found = fixed_ap(truth, rows, per_class=limit)
    assert found["AP_fixed"] == np.mean(judge.eval["precision"][:, :, :, 0, 0])
    assert found["AP75_fixed"] == np.mean(judge.eval["precision"][5, :, :, 0, 0])
    assert evaluate(truth, rows).numbers["AP"] != found["AP_fixed"]
    assert found["AP_pooled"] == pytest.approx(pooled(judge), abs=1e-12)


def pooled(judge):
    """Return AP of one ranking of all classes, from pycocotools' matches, by its definition."""
    every = [each for each in judge.evalImgs if each and each["aRng"] == [0, 1e10]]
    scores = np.concatenate([each["dtScores"] for each in every])
    order = np.argsort(-scores, kind="stable")
    total = sum(int((each["gtIgnore"] == 0).sum()) for each in every)
    values = []
    for place in range(10):
        matched = np.concatenate([each["dtMatches"][place] > 0 for each in every])[order]
        ignored = np.concatenate([each["dtIgnore"][place] > 0 for each in every])[order]
        true, false = np.cumsum(matched & ~ignored), np.cumsum(~matched & ~ignored)
        precision = true / np.maximum(true + false, 1)
        for level in np.linspace(0, 1, 101):
            reached = precision[true / total >= level]
            values.append(reached.max() if len(reached) else 0.0)
    return np.mean(values)


def test_fixed_ap_of_lvis_keeps_more_than_300_of_an_image():
    truth, rows = population(np.random.default_rng(3), images=2, lvis=True, per_image=400)
    usual = evaluate(truth, rows, protocol="lvis").numbers
    found = fixed_ap(truth, rows, protocol="lvis")
    assert max(sum(row["image_id"] == image for row in rows) for image in (1, 2)) > 300
    assert found["AP_fixed"] > usual["AP"]
    assert {"APr_fixed", "APc_fixed", "APf_fixed"} < set(found)
    few, some = population(np.random.default_rng(4), images=8, lvis=True)
    usual, found = (
        evaluate(few, some, protocol="lvis").numbers,
        fixed_ap(few, some, protocol="lvis"),
    )
    for name in ("AP", "AP50", "AP75", "APr", "APc", "APf"):
        assert found[f"{name}_fixed"] == usual[name]
    assert set(fixed_ap(few, [], protocol="lvis").values()) == {0.0}


@pytest.mark.parametrize("limit", [0, 1.5, True])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(InputError, match="per_class"):
        fixed_ap(*tiny(), per_class=limit)


def test_the_curves_of_a_class_are_those_of_its_detections():
    truth, rows = population(np.random.default_rng(5), images=12, classes=3)
    truth["categories"].append({"id": 9, "name": "absent"})
    metrics = evaluate(truth, rows)
    curves = per_class_curves(metrics)
    assert [row["name"] for row in curves["classes"]] == ["c1", "c2", "c3"]
    for place, row in enumerate(curves["classes"]):
        alone = {**truth, "categories": [truth["categories"][place]]}
        own = evaluate(alone, rows).curves
        assert row["precision"] == own["precision"] and row["LRP"] == own["LRP"]
        assert np.mean(row["precision"]["mean"]) == pytest.approx(row["AP"], abs=1e-6)
        assert min(row["LRP"]) >= row["oLRP"] - 1e-6
        at = [score >= row["oLRP_threshold"] for score in SCORE_GRID]
        assert any(at) and metrics.class_curves["LRP"].shape == (4, 101)


def test_the_command_writes_what_is_asked_for_and_nothing_else(tmp_path):
    truth, rows = population(np.random.default_rng(6), images=10)
    for image in truth["images"]:
        image["day"] = [True, "true", None][image["id"] % 3]
    for name, content in {"truth": truth, "rows": rows}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    words = ["evaluate", "--annotations", tmp_path / "truth.json"]
    words += ["--detections", tmp_path / "rows.json", "--out", tmp_path / "metrics.json"]
    rankdet(*words)
    plain = json.loads((tmp_path / "metrics.json").read_text())
    assert set(plain) == {"bbox", "per_class"}
    more = ["--fixed-ap", "--tide", "--slice-by", "day"]
    printed, _ = rankdet(*words, *more, "--per-class-curves", tmp_path / "curves.json")
    document = json.loads((tmp_path / "metrics.json").read_text())
    assert set(document) == {"bbox", "per_class", "fixed_ap", "tide", "slices"}
    assert {key: document[key] for key in plain} == plain
    assert document["fixed_ap"]["bbox"]["AP_fixed"] == plain["bbox"]["AP"]
    assert document["tide"]["bbox"]["AP50"] == pytest.approx(plain["bbox"]["AP50"])
    assert set(document["slices"]["bbox"]) == {"true", '"true"', "null"}
    assert sum(each["images"] for each in document["slices"]["bbox"].values()) == 10
    assert "dMiss" in printed and "AP_pooled" in printed and "null" not in printed
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert len(curves["bbox"]["classes"][0]["LRP"]) == 101
    (tmp_path / "metrics.json").unlink()
    _, error = rankdet(*words, "--slice-by", "night", expect=2)
    assert "images with the field 'night'" in error and not (tmp_path / "metrics.json").exists()
