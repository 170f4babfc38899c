"""Masks that would end the process, fill the memory or never end are refused in one line."""

import itertools
import json

import numpy as np
import pytest
from pycocotools import mask as mask_tools

from rankdet.errors import InputError
from rankdet.evaluation import evaluate, submission
from rankdet.evaluation.masks import FURTHEST, checked_masks
from tests.fuzz.bounded import bounds
from tests.unit.evaluation.cases import SIDE, tiny, with_masks

SQUARE = [1, 1, 9, 1, 9, 9, 1, 9]


def refusal(call):
    with bounds(seconds=5, gib=1), pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    return text


def with_segmentation(value, **image):
    """One annotation with this mask after a good one, and a detection with a good mask."""
    truth, rows = tiny(boxes=((10, 10, 40, 40), (1, 1, 9, 9)))
    truth["annotations"][1]["segmentation"] = value
    truth["images"][0].update(image)
    return truth, with_masks(rows)


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize(
    "value",
    [np.nan, np.inf, -np.inf, 1e9, -1e9, 1e30, 10**400, SIDE * (FURTHEST + 1) + 1, -1e5],
    ids=itertools.count(),
)
def test_numbers_of_polygons(value, place):
    polygon = [*SQUARE]
    polygon[place] = value
    text = refusal(lambda: evaluate(*with_segmentation([SQUARE, polygon]), "segm"))
    assert f"as number {place} of polygon 1 of annotation 1" in text
    assert "at most 10 times the longer side outside the image of 120 x 120" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], "got [] in annotation 1"),
        ([[]], "got 0 in polygon 0 of annotation 1"),
        ([[1]], "got 1 in polygon 0"),
        ([[1, 2, 3, 4]], "got 4 in polygon 0"),
        ([SQUARE, [1, 2, 3, 4, 5]], "got 5 in polygon 1"),
        ([[1, 2, 3, 4, 5, 6, 7]], "got 7 in polygon 0"),
        (SQUARE, "got 1 as polygon 0"),
        ([SQUARE, None], "got None as polygon 1"),
        ([{"size": [1, 1], "counts": "1"}], "got {"),
        (["1, 1, 9, 9"], "got '1, 1, 9, 9' as polygon 0"),
        ([[1, 2, "3", 4, 5, 6]], "got '3' as number 2"),
        ([[1, 2, True, 4, 5, 6]], "got True as number 2"),
        ([[1, 2, None, 4, 5, 6]], "got None as number 2"),
        ([[[1, 2], [3, 4], [5, 6]]], "got [1, 2] as number 0"),
        (None, "got None in annotation 1"),
        ("polygon", "got 'polygon' in annotation 1"),
        (5, "got 5 in annotation 1"),
    ],
)
def test_layouts_of_polygons(value, expected):
    assert expected in refusal(lambda: evaluate(*with_segmentation(value), "segm"))


def test_long_outlines():
    zigzag = [value for x in range(3000) for value in (x / 100, (x % 2) * SIDE * FURTHEST)]
    assert checked_masks([[zigzag]], [(SIDE, SIDE)], ["mask"])[1] >= 0
    zigzag = zigzag * 2
    text = refusal(lambda: evaluate(*with_segmentation([zigzag]), "segm"))
    assert "outlines of at most 4000000 pixels" in text
    assert "in polygon 0 of annotation 1" in text


@pytest.mark.parametrize("shift", [-0.5, -7, -300.25, 64, 900])
@pytest.mark.parametrize("kind", [int, float, np.float32])
def test_polygons_that_leave_their_image_are_clipped_as_in_pycocotools(shift, kind):
    polygons = [[kind(value + shift) for value in (1, 2, 90, 5, 60, 80)], SQUARE]
    rles, area = checked_masks([polygons], [(70, 100)], ["mask"])
    expected = mask_tools.merge(mask_tools.frPyObjects(polygons, 70, 100))
    assert rles[0] == expected
    assert area[0] == mask_tools.area(expected)


@pytest.mark.parametrize(
    "size",
    [
        {"height": "120"},
        {"width": "x"},
        {"height": [120]},
        {"height": np.nan},
        {"width": np.inf},
        {"height": 10**30},
        {"height": -120},
        {"height": 120.5},
        {"width": True},
        {"height": {}},
    ],
)
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_sizes_of_images(size, iou_type):
    ((key, value),) = size.items()
    text = refusal(lambda: evaluate(*with_segmentation([SQUARE], **size), iou_type))
    assert f'"{key}"' in text and "in entry 0" in text, value


def test_sizes_that_are_not_known_or_whole_floats():
    truth, rows = with_segmentation([SQUARE])
    expected = evaluate(truth, rows, "segm").numbers
    truth["images"][0]["height"] = float(SIDE)
    assert evaluate(truth, rows, "segm").numbers == expected
    for absent in (None, 0):
        truth["images"][0]["height"] = absent
        assert '"height" and "width" of every image' in refusal(
            lambda: evaluate(truth, rows, "segm")
        )
        assert evaluate(truth, tiny()[1]).numbers["AP"] > 0


@pytest.mark.parametrize("size", [(10**9, 10**9), (1, 10**9), (60_000, 60_000)])
def test_images_that_no_mask_can_cover(size):
    height, width = size
    text = refusal(lambda: checked_masks([[SQUARE]], [size], ["mask"]))
    assert "masks of at most 536870911 pixels and 1048576 pixels a side" in text
    mask = {"size": [height, width], "counts": [height * width]}
    assert "at most" in refusal(lambda: checked_masks([mask], [(0, 0)], ["mask"]))


@pytest.mark.parametrize(
    "size", [[0, 0], [0, 5], [True, True], [4.0, 5.0], ["4", "5"], [-4, -5], [4], [4, 5, 6], None]
)
@pytest.mark.parametrize("counts", ["d0", [20]])
def test_sizes_of_masks(size, counts):
    mask = {"size": size, "counts": counts}
    assert "got size" in refusal(lambda: checked_masks([mask], [(0, 0)], ["mask"]))


@pytest.mark.parametrize(
    "runs",
    [
        [20.0],
        [True] * 20,
        ["20"],
        [None],
        [21, -1],
        [[20]],
        [10**30],
        [2**32 + 20],
        [2**31, 2**31, 20],
        [np.nan],
        [19],
        [],
        (20,),
        bytearray(b"d0"),
        20,
        {"0": 20},
    ],
    ids=repr,
)
def test_runs(runs):
    mask = {"size": [4, 5], "counts": runs}
    text = refusal(lambda: checked_masks([mask], [(4, 5)], ["mask 7"]))
    assert "a mask as RLE" in text and "in mask 7" in text


def test_runs_of_numpy():
    mask = {"size": [np.int32(20), 20], "counts": [np.uint8(200), np.uint8(180), np.int64(20)]}
    assert checked_masks([mask], [(20, 20)], ["mask"])[1][0] == 180


@pytest.mark.parametrize(
    "text", ["?中", "éé", "é", "\ud800", "?\x80", "中" * 50, "１", "d0\x00", "\x7f", "~", "/"]
)
@pytest.mark.parametrize("encoding", [None, "utf-8", "utf-16-le"])
def test_characters(text, encoding):
    counts = text if encoding is None else text.encode(encoding, "surrogatepass")
    mask = {"size": [4, 5], "counts": counts}
    assert "a mask as RLE" in refusal(lambda: checked_masks([mask], [(4, 5)], ["mask"]))


def test_bytes_and_text_are_the_same():
    code = mask_tools.encode(np.asfortranarray(np.eye(9, dtype=np.uint8)))
    text = {**code, "counts": code["counts"].decode()}
    rles, area = checked_masks([code, text], [(9, 9)] * 2, ["mask"] * 2)
    assert area.tolist() == [9, 9]
    assert mask_tools.iou(rles[:1], rles[1:], [0]) == 1
    for empty in ("", b""):
        mask = {**code, "counts": empty}
        assert "an empty string" in refusal(lambda mask=mask: checked_masks([mask], [(9, 9)], "m"))


@pytest.mark.parametrize("value", [[SQUARE], [[np.nan] * 6], "?中", {"size": [4, 5]}])
def test_masks_of_detections(value, tmp_path):
    truth, rows = with_segmentation([SQUARE])
    rows[0]["segmentation"] = value
    if value != [SQUARE]:
        assert "in" in refusal(lambda: evaluate(truth, rows, "segm"))
        assert "detection 0" in refusal(lambda: evaluate(truth, rows, "segm"))
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    # The sizes of the images are not known there, which polygons need.
    assert "detection 0" in refusal(lambda: submission.pack(path, "name", tmp_path))


def test_annotations_are_named_by_their_place_in_the_file():
    truth, rows = with_segmentation([[1]])
    truth["annotations"].insert(0, {**truth["annotations"][0], "id": 9, "category_id": 9})
    with pytest.warns(UserWarning, match="1 of 3 annotations name categories"):
        assert "annotation 2" in refusal(lambda: evaluate(truth, rows, "segm"))
    truth["annotations"][2]["area"] = "1"
    assert "entry 2" in refusal(lambda: evaluate(truth, rows, "segm"))
