"""IoU of masks, by the compiled module, of the pairs whose areas and columns allow it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.evaluation.masks import Masks
from rankdet.evaluation.matching import Arrangement, Overlaps, pairs_of_groups


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
    stops = starts + np.diff(starts, append=len(detections))
    gt_start = arrangement.gt_start[detections[starts]]
    first = np.searchsorted(annotations, gt_start)
    last = np.searchsorted(annotations, gt_start + arrangement.gt_count[detections[starts]])
    dt_rles = dt_masks.chosen(arrangement.row[detections])
    gt_rles = gt_masks.chosen(annotations)
    crowd = is_crowd[annotations].astype(np.uint8)
    parts = [np.zeros(0)]
    bounds = (each.tolist() for each in (starts, stops, first, last))
    for start, stop, begin, end in zip(*bounds, strict=True):
        iou = mask_tools.iou(dt_rles[start:stop], gt_rles[begin:end], crowd[begin:end])
        parts.append(iou.ravel())
    iou = np.concatenate(parts)
    counts = np.repeat(last - first, stops - starts)
    shift = np.repeat(first, stops - starts) - (np.cumsum(counts) - counts)
    kept = np.flatnonzero(iou >= lowest)
    owner = np.repeat(np.arange(len(counts)), counts)[kept]
    return Overlaps(detections[owner], annotations[kept + shift[owner]], iou[kept])


def _similar(
    arrangement: Arrangement,
    dt_masks: Masks,
    gt_masks: Masks,
    is_crowd: np.ndarray,
    lowest: float,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs whose areas and columns allow an IoU of ``lowest``.

    The intersection is at most the smaller area, so that the IoU is at most their ratio.
    """
    of_dt = [each[arrangement.row] for each in (dt_masks.area, dt_masks.left, dt_masks.right)]
    of_gt = (gt_masks.area, gt_masks.left, gt_masks.right)
    for detection, annotation in pairs_of_groups(arrangement):
        dt_area, dt_left, dt_right = (each[detection] for each in of_dt)
        gt_area, gt_left, gt_right = (each[annotation] for each in of_gt)
        # A little below the limit, which rounding could cross.
        ratio = np.minimum(dt_area, gt_area) >= (lowest - 1e-6) * np.maximum(dt_area, gt_area)
        meets = np.minimum(dt_right, gt_right) > np.maximum(dt_left, gt_left)
        kept = (ratio | is_crowd[annotation]) & meets
        yield detection[kept], annotation[kept]
