"""TIDE: numbers that the authors' toolkit gave, and each kind of error by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import evaluate, tide
from rankdet.evaluation.tide import KINDS
from tests.unit.evaluation.cases import tiny, with_masks
from tests.unit.evaluation.populations import population

RECORDED = json.loads((Path(__file__).parent / "tide_cases.json").read_text())["cases"]
BOX = (0, 0, 40, 40)


@pytest.mark.parametrize("case", RECORDED, ids=range(len(RECORDED)))
def test_the_numbers_are_those_of_the_authors_toolkit(case):
    found = tide(case["truth"], case["rows"])
    assert {kind: found.counts[kind] for kind in KINDS} == case["counts"]
    assert found.ap50 == pytest.approx(case["AP50"], abs=1e-12)
    assert found.gains == pytest.approx(case["gains"], abs=1e-12)


def test_the_recorded_cases_have_every_kind():
    totals = {kind: sum(case["counts"][kind] for case in RECORDED) for kind in KINDS}
    assert min(totals.values()) > 2
    assert any(row["iscrowd"] for case in RECORDED for row in case["truth"]["annotations"])


def two_classes(found):
    """One object of class 1 at BOX, one of class 2 elsewhere; detections (class, box, score)."""
    truth, _ = tiny((BOX, (70, 70, 40, 40)))
    truth["categories"].append({"id": 2, "name": "other"})
    truth["annotations"][1]["category_id"] = 2
    rows = [
        {"image_id": 1, "category_id": category, "bbox": list(box), "score": score}
        for category, box, score in found
    ]
    return truth, rows


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        ((1, (15, 0, 40, 40), 0.5), "Loc"),  # IoU 0.45
        ((2, BOX, 0.5), "Cls"),
        ((1, BOX, 0.4), "Dupe"),
        ((1, (100, 0, 15, 15), 0.5), "Bkg"),
        ((2, (15, 0, 40, 40), 0.5), "Both"),
        ((1, (73, 70, 40, 40), 0.5), "Cls"),
    ],
)
def test_each_kind(detection, kind):
    first = (1, BOX, 0.9)
    found = tide(*two_classes([first, detection]))
    kinds = {name for name in KINDS if found.counts[name]} - {"Miss"}
    assert kinds == {kind} and found.counts["FP"] == 1
    by_class = {row["category_id"]: row[kind] for row in found.per_class}
    assert by_class == {detection[0]: 1, 3 - detection[0]: 0}


def test_a_miss_is_what_no_other_fix_would_find():
    truth, rows = two_classes([(1, BOX, 0.9)])
    found = tide(truth, rows)
    assert (found.counts["Miss"], found.counts["FN"]) == (1, 1)
    assert found.ap50 == pytest.approx(0.5) and found.gains["Miss"] == pytest.approx(0.5)
    # Nothing of class 2 is left then: the mean is that of class 1.
    near = tide(*two_classes([(1, BOX, 0.9), (2, (85, 70, 40, 40), 0.8)]))
    assert (near.counts["Miss"], near.counts["FN"], near.counts["Loc"]) == (0, 1, 1)
    assert near.gains["Loc"] == pytest.approx(0.5) and near.shares["Loc"] == 1.0


def test_the_base_is_ap50():
    truth, rows = population(np.random.default_rng(0), images=15)
    assert tide(truth, rows).ap50 == pytest.approx(evaluate(truth, rows).numbers["AP50"], abs=1e-15)


def test_masks_and_lvis_and_nothing():
    truth, rows = tiny((BOX, (70, 70, 40, 40)), ((0, 0, 40, 40, 0.9), (30, 0, 40, 40, 0.5)))
    assert tide(truth, with_masks(rows), "segm").counts == tide(truth, rows).counts
    truth, rows = population(np.random.default_rng(1), images=15, lvis=True)
    found = tide(truth, rows, protocol="lvis")
    known = evaluate(truth, rows, protocol="lvis").numbers["AP50"]
    assert found.ap50 == pytest.approx(known, abs=1e-15)
    nothing = tide(truth, [], protocol="lvis")
    assert nothing.counts["Miss"] == nothing.counts["FN"] == len(truth["annotations"])
    empty = tide({**truth, "annotations": []}, rows, protocol="lvis")
    assert empty.ap50 is None and set(empty.gains.values()) == {0.0}


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="iou_type"):
        tide(*tiny(), "keypoints")
