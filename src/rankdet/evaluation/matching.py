"""Sort detections and annotations, compute their overlaps, and match them greedily at once.

Every image, category, threshold and area range is matched in one pass over the sorted rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rankdet.errors import InputError
from rankdet.evaluation.columns import Detections, GroundTruth, unknown_image_remedy


@dataclass(frozen=True)
class Arrangement:
    """N kept detections and G annotations, each by (category, image), and the mapping between them.

    Detections of one (category, image) group descend by score, ties in file order; annotations
    keep the file order. ``gt_start`` and ``gt_count`` give each detection its group's annotations.
    """

    row: np.ndarray  # [N] the detection's place in the file
    image: np.ndarray  # [N] index of the image
    category: np.ndarray  # [N] index of the category
    score: np.ndarray  # [N]
    rank: np.ndarray  # [N] place within the group
    group: np.ndarray  # [N] number of the group
    gt_row: np.ndarray  # [G] the annotation's place in the file
    gt_start: np.ndarray  # [N]
    gt_count: np.ndarray  # [N]
    by_score: np.ndarray  # [N] per category, images ascending, stable by descending score


def index_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of each ``wanted`` in the ascending ``ids``; -1 if it is missing."""
    found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[found] == wanted, found, -1)


def _stable_by(values: np.ndarray, count: int) -> np.ndarray:
    """Stable argsort of indices below ``count``: radix sort where they fit in 16 bits."""
    return np.argsort(values.astype(np.uint16) if count < 1 << 16 else values, kind="stable")


def place_detections(
    ground_truth: GroundTruth, detections: Detections
) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of each detection's image [N] and category [N]; category -1 if unknown.

    Raises:
        InputError: if an image is not among the annotations' images.
    """
    image = index_of(ground_truth.image_ids, detections.image_id)
    if (image < 0).any():
        unknown = np.unique(detections.image_id[image < 0])
        raise InputError(
            "detections on the annotated images",
            f"{len(unknown)} unknown image ids: {', '.join(map(str, unknown[:3]))}",
            unknown_image_remedy(ground_truth, detections.image_id, int(unknown[0])),
        )
    category = index_of(ground_truth.category_ids, detections.category_id)
    if (category < 0).any():
        unknown = np.unique(detections.category_id[category < 0])
        warnings.warn(
            f"{int((category < 0).sum())} detections of unknown categories are ignored, as in "
            f"the COCO toolkit: category ids {', '.join(map(str, unknown[:3]))}",
            stacklevel=2,
        )
    return image, category


def arrange(
    ground_truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    score: np.ndarray,
    rows: np.ndarray,
    per_group: int | None,
) -> Arrangement:
    """Sort detections ``rows`` and keep the best ``per_group`` of each image and category.

    Args:
        ground_truth: the annotations.
        image: index of each detection's image [all].
        category: index of each detection's category [all].
        score: [all].
        rows: the detections to use, in file order.
        per_group: the limit per image and category (COCO: 100); None for no limit (LVIS).
    """
    image_count, category_count = len(ground_truth.image_ids), len(ground_truth.category_ids)
    # One sort of the scores serves both orders: radix sorts by image and category keep it.
    order = rows[_stable_by(image[rows], image_count)]
    order = order[np.argsort(-score[order], kind="stable")]
    by_score = order[_stable_by(category[order], category_count)]
    order = order[_stable_by(image[order], image_count)]
    order = order[_stable_by(category[order], category_count)]

    key = ground_truth.pair_key(image[order], category[order])
    group, rank = _groups(key)
    if per_group is not None and len(rank) and rank.max() >= per_group:
        is_kept = rank < per_group
        order, key, group, rank = order[is_kept], key[is_kept], group[is_kept], rank[is_kept]
    place = np.full(len(score), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    by_score = place[by_score]

    gt_key = ground_truth.pair_key(ground_truth.image, ground_truth.category)
    gt_row = np.argsort(gt_key, kind="stable")
    gt_key = gt_key[gt_row]
    starts = key[rank == 0]
    first = np.searchsorted(gt_key, starts, side="left")
    last = np.searchsorted(gt_key, starts, side="right")
    return Arrangement(
        row=order,
        image=image[order],
        category=category[order],
        score=score[order],
        rank=rank,
        group=group,
        gt_row=gt_row,
        gt_start=first[group],
        gt_count=(last - first)[group],
        by_score=by_score[by_score >= 0],
    )


def _groups(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each row's group of equal keys, and its place within the group."""
    is_first = np.ones(len(ascending), dtype=bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    group = np.cumsum(is_first) - 1
    return group, np.arange(len(ascending)) - np.flatnonzero(is_first)[group]


PAIRS_AT_ONCE = 1 << 17  # the temporaries of a block stay in the cache


@dataclass(frozen=True)
class Overlaps:
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
    is_common = (width > 0) & (height > 0)
    return np.divide(intersection, union, out=np.zeros_like(union), where=is_common)


def box_overlaps(
    arrangement: Arrangement,
    dt_box: np.ndarray,
    gt_box: np.ndarray,
    is_crowd: np.ndarray,
    lowest: float,
) -> Overlaps:
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


def joined(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Overlaps:
    """Return the overlaps of several blocks as one."""
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Overlaps(nothing, nothing, np.zeros(0))
    detection, annotation, iou = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Overlaps(detection, annotation, iou)


MATCHED_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Matches:
    """The matches of the M detections that have overlaps; T thresholds, A area ranges."""

    detection: np.ndarray  # [M] into Arrangement.row, ascending
    is_matched: np.ndarray  # [M, T, A]
    is_true: np.ndarray  # [M, T, A] matched to an annotation that counts
    iou: np.ndarray  # [M, A] with its match at the lowest threshold; 0 without one


def match(
    overlaps: Overlaps,
    group: np.ndarray,
    thresholds: np.ndarray,
    is_ignored: np.ndarray,
    is_crowd: np.ndarray,
) -> Matches:
    """Match detections in descending score to the free annotation of the highest IoU.

    An annotation that counts is preferred to an ignored one; among equal IoUs the last in file
    order wins; a crowd may be matched any number of times (COCO toolkit, evaluateImg).

    Args:
        overlaps: the C pairs that overlap enough.
        group: number of each detection's (category, image) group [N].
        thresholds: ascending IoU thresholds [T].
        is_ignored: annotations that do not count, per area range [G, A].
        is_crowd: [G].
    """
    limits = np.minimum(thresholds, 1 - 1e-10)
    shape = (len(limits), is_ignored.shape[1])
    is_first = np.ones(len(overlaps.detection), dtype=bool)
    is_first[1:] = overlaps.detection[1:] != overlaps.detection[:-1]
    number = np.cumsum(is_first) - 1  # of each pair's detection, among the M
    detection = overlaps.detection[is_first]
    turn = _turns(group[detection])
    order = np.lexsort((overlaps.annotation, overlaps.iou, number, turn[number]))

    taken = np.zeros((len(is_ignored), *shape), dtype=bool)
    result = Matches(
        detection,
        np.zeros((len(detection), *shape), dtype=bool),
        np.zeros((len(detection), *shape), dtype=bool),
        np.zeros((len(detection), shape[1])),
    )
    for block in _blocks(turn[number[order]], number[order]):
        pairs = order[block]
        _match_block(
            result,
            number[pairs],
            overlaps.annotation[pairs],
            overlaps.iou[pairs],
            limits,
            is_ignored,
            is_crowd,
            taken,
        )
    return result


def _turns(group: np.ndarray) -> np.ndarray:
    """Return each detection's place among the detections with overlaps of its group."""
    is_first = np.ones(len(group), dtype=bool)
    is_first[1:] = group[1:] != group[:-1]
    starts = np.flatnonzero(is_first)
    return np.arange(len(group)) - starts[np.cumsum(is_first) - 1]


def _blocks(turn: np.ndarray, number: np.ndarray) -> Iterator[slice]:
    """Yield slices of overlaps of one turn, not too long, never cutting a detection."""
    edges = np.flatnonzero(np.diff(turn)) + 1
    for start, stop in zip([0, *edges], [*edges, len(turn)], strict=True):
        while start < stop:
            cut = min(start + MATCHED_AT_ONCE, stop)
            while cut < stop and number[cut] == number[cut - 1]:
                cut += 1
            yield slice(start, cut)
            start = cut


def _match_block(
    result: Matches,
    number: np.ndarray,
    annotation: np.ndarray,
    iou: np.ndarray,
    limits: np.ndarray,
    is_ignored: np.ndarray,
    is_crowd: np.ndarray,
    taken: np.ndarray,
) -> None:
    """Match detections of different groups; overlaps ascend by detection, IoU, file order."""
    count = len(number)
    is_first = np.ones(count, dtype=bool)
    is_first[1:] = number[1:] != number[:-1]
    starts = np.flatnonzero(is_first)
    # The later of two overlaps is the better one; annotations that count beat all ignored ones.
    preference = np.arange(count)[:, None] + np.where(is_ignored[annotation], 0, count)
    is_open = ~taken[annotation] & (iou[:, None] >= limits)[:, :, None]
    value = np.where(is_open, preference[:, None, :].astype(np.int32), np.int32(-1))
    best = value if len(starts) == count else np.maximum.reduceat(value, starts, axis=0)

    is_matched = best >= 0
    choice = np.where(best >= count, best - count, best)
    rows = number[starts]
    result.is_matched[rows] = is_matched
    result.is_true[rows] = best >= count
    result.iou[rows] = np.where(is_matched[:, 0], iou[choice[:, 0]], 0.0)
    detection, threshold, area_range = np.nonzero(is_matched)
    chosen = annotation[choice[detection, threshold, area_range]]
    keeps = ~is_crowd[chosen]
    taken[chosen[keeps], threshold[keeps], area_range[keeps]] = True
