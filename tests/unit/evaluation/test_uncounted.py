"""A warning tells when annotations count for nothing, and why; flags are 0 or 1."""

import warnings

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import evaluate, read_ground_truth
from tests.unit.evaluation.cases import tiny

BOXES = ((10, 10, 40, 40), (60, 60, 9, 9), (1, 1, 5, 5))


def dataset(protocol="coco", **fields):
    truth, rows = tiny(boxes=BOXES, **fields)
    if protocol == "lvis":
        truth["images"][0].update(neg_category_ids=[], not_exhaustive_category_ids=[])
        truth["categories"][0]["frequency"] = "c"
    return truth, rows


def warned(truth, rows, protocol="coco"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        numbers = evaluate(truth, rows, "bbox", protocol).numbers
    return [str(warning.message) for warning in caught], numbers


@pytest.mark.parametrize(
    ("protocol", "fields", "reason"),
    [
        ("coco", {"iscrowd": 1}, "3 of 3 are crowds"),
        ("coco", {"iscrowd": True}, "3 of 3 are crowds"),
        ("coco", {"category_id": 5}, "3 of 3 name categories that are not listed (ids 5)"),
        ("coco", {"image_id": 8}, "3 of 3 name images that are not listed (ids 8)"),
        ("coco", {"area": 2e10}, "3 of 3 have an area above 1e+10"),
        ("lvis", {"area": 0}, "3 of 3 have no area"),
        ("lvis", {"ignore": 1}, "3 of 3 are to be ignored"),
        ("lvis", {"category_id": 5}, "3 of 3 name categories that are not listed (ids 5)"),
    ],
)
def test_nothing_counts(protocol, fields, reason):
    truth, rows = dataset(protocol, **fields)
    messages, numbers = warned(truth, rows, protocol)
    assert messages[0] == f"no valid annotation, so every number is null: {reason}"
    assert set(numbers.values()) == {None}


def test_no_annotation_at_all():
    truth, rows = dataset()
    truth["annotations"] = []
    messages, numbers = warned(truth, rows)
    assert messages == [
        "no valid annotation, so every number is null: the annotation file has none"
    ]
    assert numbers["AP"] is None


def test_several_reasons():
    truth, rows = dataset()
    first, second, third = truth["annotations"]
    first["iscrowd"], second["category_id"], third["image_id"] = 1, 7, 9
    assert warned(truth, rows)[0] == [
        "no valid annotation, so every number is null: 1 of 3 name categories that are not "
        "listed (ids 7); 1 of 3 name images that are not listed (ids 9); 1 of 3 are crowds"
    ]


def test_some_are_not_listed():
    truth, rows = dataset()
    truth["annotations"][1]["category_id"] = 7
    assert warned(truth, rows)[0] == [
        "1 of 3 annotations name categories that are not listed (ids 7) and are ignored"
    ]
    truth["annotations"][2].update(category_id=8, image_id=5)
    assert "2 of 3 annotations name categories" in warned(truth, rows)[0][0]
    truth["annotations"][2].update(category_id=1)
    assert "1 of 3 annotations name images" in warned(truth, rows)[0][1]


def test_the_annotations_are_read_once_so_there_is_one_warning():
    truth, rows = dataset(iscrowd=1)
    with pytest.warns(UserWarning, match="3 of 3 are crowds"):
        ground_truth = read_ground_truth(truth)
    assert warned(ground_truth, rows)[0] == []


def test_nothing_to_warn_of():
    for protocol in ("coco", "lvis"):
        truth, rows = dataset(protocol)
        assert warned(truth, rows, protocol)[0] == []
    truth["annotations"][0]["ignore"] = 1
    assert warned(truth, rows, "lvis")[0] == []


def test_lvis_judges_no_detection():
    truth, rows = dataset("lvis")
    truth["categories"].append({"id": 2, "name": "other", "frequency": "r"})
    messages, _ = warned(truth, [{**rows[0], "category_id": 2}] * 2, "lvis")
    assert "none of the 2 detections counts: LVIS evaluates" in messages[0]


@pytest.mark.parametrize("value", ["0", "1", "false", "", 2, -1, 0.5, [0], {}, np.nan])
@pytest.mark.parametrize(("key", "protocol"), [("iscrowd", "coco"), ("ignore", "lvis")])
def test_what_is_no_flag(key, protocol, value):
    truth, rows = dataset(protocol)
    truth["annotations"][1][key] = value
    with pytest.raises(InputError, match=f'"{key}" of every annotation as 0 or 1; .*in entry 1'):
        evaluate(truth, rows, "bbox", protocol)


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
def test_flags(key):
    protocol = "coco" if key == "iscrowd" else "lvis"
    for flag in (True, 1, 1.0, np.int64(1), np.bool_(True), False, 0, 0.0):
        truth, _ = dataset(protocol)
        truth["annotations"][1][key] = flag
        found = read_ground_truth(truth, protocol=protocol)
        assert found.is_ignored.tolist() == [False, bool(flag), False]
        del truth["annotations"][1][key]
        assert not read_ground_truth(truth, protocol=protocol).is_ignored.any()


@pytest.mark.parametrize("value", [5, None, "1", {}, ["a"], [None], [2**70], [1.5], [True], [[1]]])
@pytest.mark.parametrize("key", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_lists_of_categories(key, value):
    truth, rows = dataset("lvis")
    truth["images"].insert(0, {**truth["images"][0], "id": 9})
    truth["images"][1][key] = value
    with pytest.raises(InputError, match=f'"{key}".*in entry 1'):
        evaluate(truth, rows, "bbox", "lvis")
