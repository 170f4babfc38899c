"""The rules of matching and averaging that random cases seldom hit, one at a time."""

import warnings

import numpy as np
import pytest

from rankdet.errors import InputError
from rankdet.evaluation import evaluate
from rankdet.evaluation.average_precision import PER_IMAGE, RECALL_LEVELS, _needed, best_per_image
from rankdet.evaluation.matching import pair_blocks
from tests.unit.evaluation.cases import tiny, with_masks


def test_recall_levels_are_reached_as_searchsorted_says():
    for count in range(1, 700):
        recall = np.arange(1, count + 1) / count
        expected = np.searchsorted(recall, RECALL_LEVELS, side="left") + 1
        own = np.maximum(_needed(np.array([count]))[0], 1)
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize(("second", "found"), [(40, 1.0), (60, 0.5)])
def test_of_equal_overlaps_the_last_annotation_is_taken(second, found):
    """The first detection lies between two objects; the second fits only one of them."""
    boxes = ((40, 10, 50, 40), (60, 10, 50, 40))
    truth, rows = tiny(boxes, ((50, 10, 50, 40, 0.9), (second, 10, 50, 40, 0.8)))
    assert evaluate(truth, rows).numbers["AR100"] > 0
    row = evaluate(truth, rows).per_class[0]
    assert row["oLRP_fn"] == 1 - found


def test_a_crowd_absorbs_any_number_and_costs_nothing():
    boxes = ((10, 10, 100, 100),)
    truth, rows = tiny(boxes, [(12, 12, 20, 20, 0.9), (40, 40, 20, 20, 0.8)], iscrowd=1)
    truth["annotations"].append(
        {**truth["annotations"][0], "id": 2, "iscrowd": 0, "bbox": [0, 0, 8, 8], "area": 64.0}
    )
    rows.append({**rows[0], "bbox": [0, 0, 8, 8], "score": 0.1})
    numbers = evaluate(truth, rows).numbers
    assert numbers["AP"] == pytest.approx(1)
    assert numbers["oLRP"] == 0


def test_a_class_without_annotations_is_left_out():
    truth, rows = tiny()
    truth["categories"].append({"id": 7, "name": "absent"})
    metrics = evaluate(truth, [*rows, {**rows[0], "category_id": 7, "score": 1.0}])
    assert metrics.numbers["AP"] == pytest.approx(1)
    assert metrics.per_class[1]["AP"] is None
    assert metrics.per_class[1]["oLRP"] is None


def test_nothing_annotated_gives_no_numbers():
    truth, rows = tiny(boxes=())
    metrics = evaluate(truth, rows)
    assert set(metrics.numbers.values()) == {None}
    assert metrics.curves == {}


def test_area_limits_belong_to_both_ranges():
    truth, rows = tiny(((10, 10, 32, 32),), ((10, 10, 32, 32, 0.5),))
    numbers = evaluate(truth, rows).numbers
    assert numbers["APs"] == numbers["APm"] == pytest.approx(1)
    assert numbers["APl"] is None


@pytest.mark.parametrize(
    ("side", "inside"), [(31, "s"), (32, "sm"), (33, "m"), (95, "m"), (96, "ml"), (97, "l")]
)
def test_a_size_is_told_by_32_and_96_pixels(side, inside):
    """COCO: small to 32^2, medium to 96^2; a limit belongs to both."""
    truth, rows = tiny(((10, 10, side, side),), ((10, 10, side, side, 0.5),))
    numbers = evaluate(truth, rows).numbers
    found = {size for size in "sml" if numbers[f"AP{size}"] is not None}
    assert found == set(inside)
    assert {size for size in "sml" if numbers[f"oLRP{size}"] is not None} == set(inside)


def test_mask_results_with_boxes_use_the_box_area_unless_told_otherwise():
    truth, rows = tiny(((10, 10, 40, 40),), ((80, 80, 40, 30, 0.9), (10, 10, 40, 40, 0.8)))
    both = with_masks(rows, keep_boxes=True)
    both[0]["bbox"] = [80.0, 80.0, 10.0, 10.0]  # a small box around a medium mask
    by_rule = evaluate(truth, both, "segm")
    assert by_rule.numbers == evaluate(truth, both, "segm", area="box").numbers
    by_mask = evaluate(truth, both, "segm", area="mask")
    assert by_mask.numbers == evaluate(truth, with_masks(rows), "segm").numbers
    assert by_rule.numbers["APm"] == pytest.approx(1)  # the false positive is not medium
    assert by_mask.numbers["APm"] == pytest.approx(0.5)
    assert by_rule.numbers["AP"] == by_mask.numbers["AP"]


def test_masks_only_are_evaluated_as_their_boxes():
    truth, rows = tiny(found=((12, 10, 40, 40, 0.9),))
    assert evaluate(truth, with_masks(rows)).numbers == evaluate(truth, rows).numbers


def test_limits():
    truth, rows = tiny(found=((80, 80, 20, 20, 0.9), (10, 10, 40, 40, 0.8)))
    numbers = evaluate(truth, rows, limits=(1,)).numbers
    assert numbers["AP"] == numbers["AR1"] == 0
    assert evaluate(truth, rows, limits=(1, 2)).numbers["AR2"] == pytest.approx(1)
    with pytest.raises(InputError, match="ascending positive limits"):
        evaluate(truth, rows, limits=(10, 1))


@pytest.mark.parametrize(
    "wrong", [{"iou_type": "keypoints"}, {"protocol": "voc"}, {"area": "ellipse"}]
)
def test_unknown_choices(wrong):
    with pytest.raises(InputError, match="choose one of them"):
        evaluate(*tiny(), **wrong)


# LVIS


def lvis(found, negative=(), partly=()):
    truth, rows = tiny(((10, 10, 40, 40),), found)
    truth["images"][0] |= {
        "neg_category_ids": list(negative),
        "not_exhaustive_category_ids": list(partly),
    }
    truth["categories"] = [{"id": i, "name": str(i), "frequency": "rcf"[i - 1]} for i in (1, 2, 3)]
    return truth, rows


def precision(truth, rows):
    return evaluate(truth, rows, protocol="lvis").numbers["AP"]


def test_lvis_counts_false_positives_only_where_the_class_is_known():
    truth, rows = lvis(((10, 10, 40, 40, 0.5),))
    other = {**rows[0], "category_id": 2, "score": 0.9}
    second = {"id": 9, "image_id": 2, "category_id": 2, "bbox": [0, 0, 9, 9], "area": 81.0}
    truth["images"].append({**truth["images"][0], "id": 2})
    truth["annotations"].append({**truth["annotations"][0], **second})
    rows.append({"image_id": 2, "category_id": 2, "bbox": [0, 0, 9, 9], "score": 0.2})
    assert precision(truth, [*rows, other]) == pytest.approx(1)
    truth["images"][0]["neg_category_ids"] = [2]
    assert precision(truth, [*rows, other]) == pytest.approx(0.75)


def test_lvis_ignores_unmatched_detections_of_partly_labelled_classes():
    found = ((80, 80, 20, 20, 0.9), (10, 10, 40, 40, 0.5))
    assert precision(*lvis(found)) == pytest.approx(0.5)
    assert precision(*lvis(found, partly=(1,))) == pytest.approx(1)


def test_lvis_honours_ignore_and_knows_no_crowd():
    truth, rows = lvis(((10, 10, 40, 40, 0.5),))
    truth["annotations"][0]["ignore"] = 1
    assert precision(truth, rows) is None
    truth["annotations"][0] |= {"ignore": 0, "iscrowd": 1}
    assert precision(truth, rows) == pytest.approx(1)


def test_lvis_drops_what_has_no_area():
    truth, rows = lvis(((10, 10, 0, 40, 0.9), (10, 10, 40, 40, 0.5)))
    truth["annotations"].append({**truth["annotations"][0], "id": 2, "area": 0.0})
    assert precision(truth, rows) == pytest.approx(1)


def test_lvis_groups():
    truth, rows = lvis(((10, 10, 40, 40, 0.5),))
    numbers = evaluate(truth, rows, protocol="lvis").numbers
    assert numbers["APr"] == pytest.approx(1)
    assert numbers["oLRPr"] == 0
    assert numbers["APc"] is numbers["APf"] is numbers["oLRPc"] is None
    assert " ".join(numbers) == (
        "AP AP50 AP75 APs APm APl APr APc APf AR300 ARs ARm ARl "
        "oLRP oLRP_loc oLRP_fp oLRP_fn oLRPr oLRPc oLRPf"
    )


def test_lvis_keeps_the_300_best_of_an_image_over_all_classes():
    image, score = np.array([0, 1, 0, 0, 1, 0]), np.array([0.5, 0.1, 0.9, 0.5, 0.2, 0.6])
    np.testing.assert_array_equal(best_per_image(image, score, 3), [0, 1, 2, 4, 5])


def crowded(count, extra=()):
    """``count`` wrong boxes of class 1 above the one right box of class 2, which is the last."""
    truth, rows = lvis(((80, 80, 20, 20, 0.9),) * count, negative=(1,))
    truth["annotations"][0]["category_id"] = 2
    right = {"image_id": 1, "category_id": 2, "bbox": [10.0, 10.0, 40.0, 40.0], "score": 0.1}
    return truth, [*rows, *extra, right]


@pytest.mark.parametrize(("count", "found"), [(299, 1.0), (300, 0.0)])
def test_lvis_has_room_for_300_detections_of_an_image(count, found):
    """METRICS.md: 300 of an image over all classes, by score; the 301st does not count."""
    truth, rows = crowded(count)
    numbers = evaluate(truth, rows, protocol="lvis").numbers
    assert numbers["AR300"] == pytest.approx(found)
    assert PER_IMAGE == 300


UNKNOWN = {"image_id": 1, "category_id": 99, "bbox": [0.0, 0.0, 9.0, 9.0], "score": 0.8}
FLAT = {"image_id": 1, "category_id": 2, "bbox": [0.0, 0.0, 0.0, 9.0], "score": 0.8}


@pytest.mark.parametrize("extra", [UNKNOWN, FLAT], ids=["unknown category", "no area"])
def test_lvis_counts_to_300_before_it_drops_what_it_does_not_know(extra):
    """As the LVIS toolkit: its result file is cut first and loaded afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for count, found in ((298, 1.0), (299, 0.0)):
            truth, rows = crowded(count, [extra])
            numbers = evaluate(truth, rows, protocol="lvis").numbers
            assert numbers["AR300"] == pytest.approx(found), count


def test_lvis_cuts_each_image_by_itself():
    truth, rows = crowded(300)
    truth["images"].append({**truth["images"][0], "id": 2})
    truth["annotations"].append({**truth["annotations"][0], "id": 2, "image_id": 2})
    rows.append({**rows[-1], "image_id": 2})
    # Two objects of the class; the one of the other image is found.
    assert evaluate(truth, rows, protocol="lvis").numbers["AR300"] == pytest.approx(0.5)


def test_pair_blocks_cover_everything_once():
    counts = np.array([3, 1, 9, 2, 2, 1])
    blocks = list(pair_blocks(counts, 5))
    assert [counts[block].sum() for block in blocks] == [4, 9, 5]
    assert [row for block in blocks for row in range(6)[block]] == list(range(6))


def test_curves_are_of_the_same_pass():
    truth, rows = tiny(found=((10, 10, 40, 40, 0.73), (80, 80, 20, 20, 0.41)))
    curves = evaluate(truth, rows).curves
    assert curves["precision"]["0.50"] == [1.0] * 101
    by_score = dict(zip(curves["score"], curves["LRP"], strict=True))
    assert by_score[0.74] == 1  # nothing is kept
    assert by_score[0.73] == by_score[0.42] == 0
    assert by_score[0.41] == 0.5


def test_many_detections_are_processed_in_blocks():
    """More candidates than one block holds give the same numbers as the parts."""
    found = [(10 + i % 3, 10, 40, 40, (i % 97) / 100) for i in range(100)]
    truth, rows = tiny(((10, 10, 40, 40), (12, 10, 40, 40), (11, 10, 40, 40)), found)
    copies = 150
    images = [{**truth["images"][0], "id": 1 + i} for i in range(copies)]
    annotations = [
        {**row, "id": 1 + i * 3 + j, "image_id": 1 + i}
        for i in range(copies)
        for j, row in enumerate(truth["annotations"])
    ]
    many = {**truth, "images": images, "annotations": annotations}
    many_rows = [{**row, "image_id": 1 + i} for i in range(copies) for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, all_of_them = evaluate(truth, rows).numbers, evaluate(many, many_rows).numbers
    assert all_of_them["AR100"] == one["AR100"]
    assert all_of_them["oLRP"] == pytest.approx(one["oLRP"], abs=1e-12)
