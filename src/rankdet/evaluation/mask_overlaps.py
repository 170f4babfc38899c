"""IoU of masks, by the compiled module, of the pairs whose areas and columns allow it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.evaluation.masks import Masks
from rankdet.evaluation.matching import Arrangement, Overlaps, pairs_of_groups

PAIRS_OF_A_CALL = 40  # of small groups together
MARGIN = 1e-6  # below the lowest IoU, for rounding


def mask_overlaps(
    arrangement: Arrangement,
    dt_masks: Masks,
    gt_masks: Masks,
    is_crowd: np.ndarray,
    lowest: float,
) -> Overlaps:
    """Pairs of masks with IoU >= ``lowest``, group by group in the compiled module.

    Args:
        arrangement: the sorted groups.
        dt_masks: of the detections in the order of their file.
        gt_masks: in the arrangement's order [G].
        is_crowd: in the arrangement's order [G].
        lowest: the lowest IoU threshold.
    """
    dt_flag = np.zeros(len(arrangement.row), dtype=bool)
    gt_flag = np.zeros(len(is_crowd), dtype=bool)
    for detection, annotation in _similar(arrangement, dt_masks, gt_masks, is_crowd, lowest):
        dt_flag[detection], gt_flag[annotation] = True, True
    detections, annotations = np.flatnonzero(dt_flag), np.flatnonzero(gt_flag)
    # The similar ones of each group; a group has both or neither.
    starts = np.flatnonzero(np.diff(arrangement.group[detections], prepend=-1))
    firsts = np.searchsorted(annotations, arrangement.gt_start[detections[starts]])
    dt_rles = dt_masks.chosen(arrangement.row[detections])
    gt_rles = gt_masks.chosen(annotations)
    crowd = is_crowd[annotations].astype(np.uint8)
    calls = list(_calls([*starts.tolist(), len(detections)], [*firsts.tolist(), len(annotations)]))
    parts = [np.zeros(0)]
    for start, stop, first, last in calls:
        iou = mask_tools.iou(dt_rles[start:stop], gt_rles[first:last], crowd[first:last])
        parts.append(iou.ravel())
    iou = np.concatenate(parts)
    begin, end, low, high = np.array(calls, dtype=np.int64).reshape(-1, 4).T
    counts = np.repeat(high - low, end - begin)  # pairs of each detection
    shift = np.repeat(low, end - begin) - (np.cumsum(counts) - counts)
    kept = np.flatnonzero(iou >= lowest)
    owner = np.repeat(np.arange(len(counts)), counts)[kept]
    detection, annotation = detections[owner], annotations[kept + shift[owner]]
    place = annotation - arrangement.gt_start[detection]
    own = (place >= 0) & (place < arrangement.gt_count[detection])
    return Overlaps(detection[own], annotation[own], iou[kept][own])


def _calls(starts: list[int], firsts: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the bounds of detections and of annotations of one group, or of several small ones.

    A call costs as much as some pairs, so that those between small groups are computed too.

    Args:
        starts: of each group's detections, and the end.
        firsts: of each group's annotations, and the end.
    """
    group, groups = 0, len(starts) - 1
    while group < groups:
        start, first = starts[group], firsts[group]
        group += 1
        while group < groups and (
            (starts[group + 1] - start) * (firsts[group + 1] - first) <= PAIRS_OF_A_CALL
        ):
            group += 1
        yield start, starts[group], first, firsts[group]


def _similar(
    arrangement: Arrangement,
    dt_masks: Masks,
    gt_masks: Masks,
    is_crowd: np.ndarray,
    lowest: float,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs whose areas, columns and heights allow an IoU of ``lowest``.

    They share at most the smaller area, and in the columns that they share the annotation's height.
    """
    dt_area, dt_left, dt_right = (
        each[arrangement.row] for each in (dt_masks.area, dt_masks.left, dt_masks.right)
    )
    for detection, annotation in pairs_of_groups(arrangement):
        columns = np.minimum(dt_right[detection], gt_masks.right[annotation])
        columns -= np.maximum(dt_left[detection], gt_masks.left[annotation])
        meets = np.flatnonzero(columns > 0)
        detection, annotation = detection[meets], annotation[meets]
        own, other = dt_area[detection], gt_masks.area[annotation]
        shared = np.minimum(columns[meets] * gt_masks.height[annotation], np.minimum(own, other))
        union = np.where(is_crowd[annotation], own, own + other - shared)
        kept = shared >= (lowest - MARGIN) * union
        yield detection[kept], annotation[kept]
