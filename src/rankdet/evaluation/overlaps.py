"""Overlaps of detections with the annotations of their image and category.

Only pairs that can match at the lowest threshold are kept: the rest never matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rankdet.evaluation.arrangement import Arrangement

PAIRS_AT_ONCE = 1 << 17  # the temporaries of a block stay in the cache


@dataclass(frozen=True)
class Candidates:
    """C pairs (detection, annotation) with IoU >= the lowest threshold.

    They ascend by detection, then by the annotation's place.
    """

    detection: np.ndarray  # [C] into Arrangement.row
    annotation: np.ndarray  # [C] into Arrangement.gt_row
    iou: np.ndarray  # [C]


def pair_blocks(counts: np.ndarray, pairs_at_once: int) -> Iterator[slice]:
    """Yield slices of rows whose ``counts`` sum to at most ``pairs_at_once`` (or are one row)."""
    ends = np.cumsum(counts)
    start, done = 0, 0
    while start < len(counts):
        stop = max(int(np.searchsorted(ends, done + pairs_at_once, side="right")), start + 1)
        yield slice(start, stop)
        start, done = stop, int(ends[stop - 1])


def box_iou(dt: np.ndarray, gt: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """IoU of paired boxes (COCO toolkit, bbIou): no "+1"; over a crowd, the detection's area only.

    Args:
        dt: x, y, w, h of the detections [4, pairs].
        gt: x, y, w, h of the annotations [4, pairs].
        is_crowd: [pairs].
    """
    width = np.minimum(dt[0] + dt[2], gt[0] + gt[2]) - np.maximum(dt[0], gt[0])
    height = np.minimum(dt[1] + dt[3], gt[1] + gt[3]) - np.maximum(dt[1], gt[1])
    dt_area = dt[2] * dt[3]
    intersection = width * height
    union = np.where(is_crowd, dt_area, dt_area + gt[2] * gt[3] - intersection)
    overlaps = (width > 0) & (height > 0)
    return np.divide(intersection, union, out=np.zeros_like(union), where=overlaps)


def box_candidates(
    arrangement: Arrangement,
    dt_box: np.ndarray,
    gt_box: np.ndarray,
    is_crowd: np.ndarray,
    lowest: float,
) -> Candidates:
    """Pairs of boxes with IoU >= ``lowest``.

    Args:
        arrangement: the sorted groups.
        dt_box: boxes in the arrangement's order [N, 4].
        gt_box: boxes in the arrangement's order [G, 4].
        is_crowd: in the arrangement's order [G].
        lowest: the lowest IoU threshold.
    """
    dt_columns, gt_columns = dt_box.T.copy(), gt_box.T.copy()
    with_gt = np.flatnonzero(arrangement.gt_count)
    counts = arrangement.gt_count[with_gt]
    parts = []
    for block in pair_blocks(counts, PAIRS_AT_ONCE):
        detections, count = with_gt[block], counts[block]
        detection = np.repeat(detections, count)
        before = np.cumsum(count) - count
        shift = np.repeat(arrangement.gt_start[detections] - before, count)
        annotation = np.arange(len(detection)) + shift
        iou = box_iou(dt_columns[:, detection], gt_columns[:, annotation], is_crowd[annotation])
        kept = np.flatnonzero(iou >= lowest)
        parts.append((detection[kept], annotation[kept], iou[kept]))
    return joined(parts)


def joined(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Candidates:
    """Return the candidates of several blocks as one."""
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Candidates(nothing, nothing, np.zeros(0))
    detection, annotation, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Candidates(detection, annotation, iou)
