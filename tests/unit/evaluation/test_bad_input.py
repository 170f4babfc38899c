"""Every mistake in the files: a message that names it, or the documented rule."""

import json
import warnings

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import evaluate
from tests.unit.evaluation.cases import tiny, with_masks


def refused(match, truth, rows, *options):
    with pytest.raises(InputError, match=match):
        evaluate(truth, rows, *options)


def test_unknown_image():
    truth, rows = tiny()
    refused("1 unknown image ids: 77", truth, [*rows, {**rows[0], "image_id": 77}])


def test_unknown_category_counts_for_nothing_with_a_warning():
    truth, rows = tiny()
    with pytest.warns(UserWarning, match="1 detections of unknown categories.*ids 9"):
        numbers = evaluate(truth, [{**rows[0], "category_id": 9, "score": 1}, *rows]).numbers
    assert numbers == evaluate(truth, rows).numbers


def test_no_detections_count_as_missed_with_a_warning():
    truth, _ = tiny()
    with pytest.warns(UserWarning, match="every annotated class counts as missed"):
        numbers = evaluate(truth, []).numbers
    assert numbers["AP"] == numbers["AR100"] == 0
    assert numbers["oLRP"] == numbers["oLRP_fn"] == 1
    assert numbers["oLRP_loc"] is numbers["oLRP_fp"] is None
    with pytest.warns(UserWarning, match="no detections"):
        assert evaluate(truth, [], "segm").numbers == numbers


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"score": float("nan")}, 'finite "score" in every detection; got nan in entry 1'),
        ({"score": float("inf")}, 'finite "score"'),
        ({"score": "0.5"}, "\"score\" of every detection as a number; got '0.5' in entry 1"),
        ({"score": None}, "as a number; got None"),
        ({"score": True}, "as a number; got True"),
        ({"image_id": "1"}, '"image_id" of every detection as a number'),
        ({"image_id": 1.5}, "as an integer; got 1.5"),
        ({"image_id": 2**70}, "below 2"),
        ({"bbox": [1, 2, 3]}, r"four numbers \[x, y, w, h\]; got \[1, 2, 3\] in entry 1"),
        ({"bbox": [1, 2, 3, "4"]}, "four numbers"),
        ({"bbox": 5}, "four numbers"),
        ({"bbox": [0, 0, 5, float("nan")]}, 'finite "bbox"'),
    ],
)
def test_malformed_fields(change, match):
    truth, rows = tiny()
    refused(match, truth, [*rows, {**rows[0], **change}])


@pytest.mark.parametrize("key", ["image_id", "category_id", "score", "bbox"])
def test_missing_fields(key):
    truth, rows = tiny()
    broken = {name: value for name, value in rows[0].items() if name != key}
    refused(f'"{key}" in every detection; got entry 1 without it', truth, [*rows, broken])


def test_rows_that_are_no_objects():
    truth, rows = tiny()
    refused("detections as JSON objects; got 3 as entry 1", truth, [*rows, 3])
    refused("COCO results array; got a dict", truth, {"annotations": rows})
    refused("detections as JSON objects", truth, [[1, 2]])


def test_numpy_numbers_are_numbers():
    truth, rows = tiny()
    row = {**rows[0], "score": np.float32(0.9), "image_id": np.int64(1)}
    assert evaluate(truth, [row]).numbers == evaluate(truth, rows).numbers


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        ({"size": [120, 120], "counts": "Y"}, "truncated counts in detection 0"),
        ({"size": [120, 120], "counts": ""}, "an empty string"),
        ({"size": [120, 120], "counts": "~~"}, "an invalid character"),
        ({"size": [120, 120], "counts": "é"}, "do not add up|invalid character"),
        ({"size": [120, 120], "counts": "PPPPPPPPPPPP0"}, "too long"),
        ({"size": [120, 120], "counts": "123"}, "do not add up"),
        ({"size": [120, 120], "counts": "O"}, "a negative run"),
        ({"size": [120, 120], "counts": [5, 6]}, "runs of 11 pixels for 14400"),
        ({"size": [120, 120], "counts": [-5, 14405]}, "runs that are not counts"),
        ({"size": [120, 120], "counts": 3}, "counts of type int"),
        ({"size": [60, 120], "counts": "123"}, r"size \[60, 120\] for an image of \[120, 120\]"),
        ({"size": "big", "counts": "123"}, "size 'big'"),
        ({"counts": "123"}, "as RLE"),
        ("123", "as RLE"),
        (None, "as RLE"),
        ([], "polygons"),
        ([["a"]], "polygons"),
    ],
)
def test_malformed_masks(mask, match):
    truth, rows = tiny()
    refused(match, truth, [{**with_masks(rows)[0], "segmentation": mask}], "segm")


def test_the_bad_mask_is_named():
    truth, rows = tiny(found=[(10, 10, 40, 40, 0.5)] * 3)
    masks = with_masks(rows)
    masks[1]["segmentation"] = {**masks[1]["segmentation"], "counts": "Y"}
    refused("detection 1", truth, masks, "segm")


def test_masks_that_are_not_there():
    truth, rows = tiny()
    refused('"segmentation" in every detection; got only boxes', truth, rows, "segm")
    refused("entry 1 without it", truth, [*with_masks(rows), rows[0]], "segm")
    refused("got only masks", truth, with_masks(rows), "segm", "coco", "box")
    refused('"bbox" or "segmentation"', truth, [{"image_id": 1, "category_id": 1, "score": 1.0}])


def test_annotations_without_masks():
    truth, rows = tiny()
    del truth["annotations"][0]["segmentation"]
    refused('"segmentation" in every annotation', truth, with_masks(rows), "segm")
    truth, rows = tiny(segmentation=[[1, 2, 3, 4, 5, 6]])
    del truth["images"][0]["height"]
    refused('"height" and "width"', truth, with_masks(rows), "segm")


@pytest.mark.parametrize(
    ("table", "what"), [("annotations", "annotation"), ("images", "image"), ("categories", "cat")]
)
def test_duplicate_ids(table, what):
    truth, rows = tiny()
    truth[table] = truth[table] * 2
    refused(f"unique {what}.* ids; got 1 duplicates, the first is 1", truth, rows)


@pytest.mark.parametrize("key", ["id", "area"])
def test_what_is_completed(key):
    """An id from 0 or none, a missing area: one warning, and the numbers of a whole file."""
    truth, rows = tiny()
    whole = evaluate(truth, rows).numbers
    if key == "id":
        truth["annotations"][0]["id"] = 0
    else:
        del truth["annotations"][0]["area"]
    with pytest.warns(UserWarning, match=r"numbered from 1|no area: computed, 1 from its mask"):
        assert evaluate(truth, rows).numbers == whole
    truth["annotations"][0][key] = None
    with pytest.warns(UserWarning, match="completed|numbered|computed"):
        assert evaluate(truth, rows).numbers == whole


@pytest.mark.parametrize("key", ["bbox", "image_id", "category_id"])
def test_annotations_without_a_field(key):
    truth, rows = tiny()
    del truth["annotations"][0][key]
    refused(f'"{key}" in every annotation', truth, rows)


def test_swapped_files():
    truth, rows = tiny()
    refused("annotations and detections are not swapped", rows, truth)
    refused("annotations and detections are not swapped", {"images": []}, rows)
    refused("at least one image", {"images": [], "annotations": [], "categories": []}, rows)


def test_annotations_of_unlisted_images_and_classes_count_for_nothing():
    truth, rows = tiny()
    expected = evaluate(truth, rows).numbers
    extra = truth["annotations"][0]
    truth["annotations"] += [
        {**extra, "id": 2, "image_id": 5},
        {**extra, "id": 3, "category_id": 5},
    ]
    assert evaluate(truth, rows).numbers == expected


def test_lvis_needs_its_fields():
    truth, rows = tiny()
    refused('"frequency" in every category', truth, rows, "bbox", "lvis")
    truth["categories"][0]["frequency"] = "often"
    refused('"frequency" of every category as r, c or f', truth, rows, "bbox", "lvis")
    truth["categories"][0]["frequency"] = "r"
    refused('"neg_category_ids" in every image', truth, rows, "bbox", "lvis")


def test_files(tmp_path):
    truth, rows = tiny()
    path = tmp_path / "annotations.json"
    refused("no file at", path, rows)
    path.write_text(json.dumps(truth)[:-9])
    refused("which is not JSON", path, rows)
    path.write_text(json.dumps(truth))
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps(rows)[:-3])
    refused("which is not JSON", path, detections)
    detections.write_text("")
    refused("which is not JSON", path, detections)
    detections.write_text(json.dumps({"rows": rows}))
    refused("contains a dict, not an array", path, detections)
    detections.write_text("[]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert evaluate(path, detections).numbers["AP"] == 0
    detections.write_text('[{"image_id": 1, "category_id": 1, "bbox": [0,0,1,1], "score": NaN}]')
    refused('finite "score"', path, detections)
