"""Masks as run-length encodings (RLE): rasterize polygons, validate results, compute overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.errors import InputError
from rankdet.evaluation import rle
from rankdet.evaluation.arrangement import Arrangement
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.overlaps import Candidates, joined
from rankdet.evaluation.polygons import check_polygons

Rle = dict[str, Any]


def checked_masks(
    segmentations: Sequence[Any], sizes: Sequence[Sequence[int]], what: Sequence[str]
) -> tuple[list[Rle], np.ndarray]:
    """Return compressed RLEs and their pixel counts [N] from RLEs or polygons.

    Args:
        segmentations: polygons (merged by union) or {"size", "counts"}, N of them.
        sizes: height and width of each one's image; zeros if unknown.
        what: the name of each in an error.

    Raises:
        InputError: on a malformed mask.
    """
    rles: list[Any] = [None] * len(segmentations)
    area = np.zeros(len(segmentations))
    compressed = []
    for number, (value, size) in enumerate(zip(segmentations, sizes, strict=True)):
        if isinstance(value, list):
            check_polygons(value, size, what[number])
            rles[number] = _from_polygons(value, size)
            continue
        rle.check_layout(value, size, what[number])
        if isinstance(value["counts"], list):
            rles[number] = mask_tools.frPyObjects(value, *value["size"])
            area[number] = sum(map(int, value["counts"][1::2]))
        else:
            rles[number] = value
            compressed.append(number)
    area[compressed] = rle.pixel_counts(
        [rles[number]["counts"] for number in compressed],
        [int(rles[number]["size"][0]) * int(rles[number]["size"][1]) for number in compressed],
        [what[number] for number in compressed],
    )
    for number, value in enumerate(segmentations):
        if isinstance(value, list):
            area[number] = mask_tools.area(rles[number])
    return rles, area


def _from_polygons(polygons: list[Any], size: Sequence[int]) -> Rle:
    rles = mask_tools.frPyObjects(polygons, *size)
    return mask_tools.merge(rles) if len(rles) > 1 else rles[0]


def check_mask(value: Any, size: Sequence[int], what: str) -> None:
    """Check polygons or an RLE without drawing them.

    Args:
        value: as in a COCO annotation.
        size: height and width of its image.
        what: its name in an error.

    Raises:
        InputError: if it is not a mask of an image of this size.
    """
    if isinstance(value, list):
        check_polygons(value, size, what)
        return
    rle.check_layout(value, size, what)
    if not isinstance(value["counts"], list):
        rle.pixel_counts([value["counts"]], [size[0] * size[1]], [what])


def boxes(rles: Iterable[Rle]) -> np.ndarray:
    """Tight boxes x, y, w, h of masks [N, 4]."""
    return np.array([mask_tools.toBbox(each) for each in rles], dtype=np.float64).reshape(-1, 4)


def ground_truth_masks(ground_truth: GroundTruth, gt_row: np.ndarray) -> list[Rle]:
    """Compressed RLEs of the annotations ``gt_row``.

    Raises:
        InputError: on a malformed polygon or RLE.
    """
    rows = gt_row.tolist()
    sizes = ground_truth.image_sizes[ground_truth.image[gt_row]].tolist()
    every = ground_truth.segmentation or []
    segmentations = [every[row] for row in rows]
    entries = gt_row if ground_truth.entry is None else ground_truth.entry[gt_row]
    return checked_masks(segmentations, sizes, [f"annotation {row}" for row in entries.tolist()])[0]


def detection_masks(
    found: Detections,
    ground_truth: GroundTruth,
    image: np.ndarray,
    iou_type: str,
    area: str,
) -> tuple[list[Rle], np.ndarray]:
    """Compressed RLEs and pixel counts of all detections where they are needed, else nothing.

    Raises:
        InputError: if they are needed and absent, or malformed.
    """
    if iou_type == "bbox" and found.box is not None and area != "mask":
        return [], np.zeros(0)
    if area == "box" and found.box is None:
        raise InputError(
            "detections with boxes, for box areas", "only masks", 'use area "mask" or "auto"'
        )
    if found.segmentation is None:
        raise InputError(
            '"segmentation" in every detection', "only boxes", "evaluate boxes, with box areas"
        )
    sizes = ground_truth.image_sizes[image].tolist()
    names = [f"detection {row}" for row in range(len(found))]
    return checked_masks(found.segmentation, sizes, names)


def mask_candidates(
    arrangement: Arrangement,
    dt_masks: list[Rle],
    gt_masks: list[Rle],
    is_crowd: np.ndarray,
    lowest: float,
) -> Candidates:
    """Pairs of masks with IoU >= ``lowest``, group by group in the compiled module.

    Args:
        arrangement: the sorted groups.
        dt_masks: compressed RLEs in the arrangement's order [N].
        gt_masks: compressed RLEs in the arrangement's order [G].
        is_crowd: in the arrangement's order [G].
        lowest: the lowest IoU threshold.
    """
    crowd = is_crowd.astype(np.uint8)
    starts = np.flatnonzero(arrangement.rank == 0)
    stops = np.append(starts, len(arrangement.rank))[1:]
    parts = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        first, count = int(arrangement.gt_start[start]), int(arrangement.gt_count[start])
        if not count:
            continue
        last = first + count
        iou = mask_tools.iou(dt_masks[start:stop], gt_masks[first:last], crowd[first:last])
        detection, annotation = np.nonzero(iou >= lowest)
        parts.append((detection + start, annotation + first, iou[detection, annotation]))
    return joined(parts)
