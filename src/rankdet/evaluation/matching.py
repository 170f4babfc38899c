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

    def has_detections(self) -> np.ndarray:
        """Whether there is a detection in the group of each annotation [G]."""
        edges = np.zeros(len(self.gt_row) + 1, dtype=np.int64)
        is_first = self.rank == 0
        np.add.at(edges, self.gt_start[is_first], 1)
        np.add.at(edges, (self.gt_start + self.gt_count)[is_first], -1)
        return np.cumsum(edges[:-1]) > 0


MOST_SLOTS = 1 << 22  # of a table of ids, 32 MB; COCO's image ids end at 581929


def index_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of each ``wanted`` in the ascending ``ids``; -1 if it is missing."""
    if not len(ids):
        return np.full(len(wanted), -1)
    low, high = int(ids[0]), int(ids[-1])
    if not len(wanted) or high - low >= MOST_SLOTS or wanted.min() < low or wanted.max() > high:
        found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        return np.where(ids[found] == wanted, found, -1)
    table = np.full(high - low + 1, -1, dtype=np.int64)
    table[ids - low] = np.arange(len(ids))
    return table[wanted - low]


def _stable_by(values: np.ndarray, count: int) -> np.ndarray:
    """Stable argsort of indices below ``count``: radix sort where they fit in 16 bits."""
    return np.argsort(values.astype(np.uint16) if count < 1 << 16 else values, kind="stable")


def stable_descending(score: np.ndarray) -> np.ndarray:
    """Stable argsort of finite scores, highest first: radix sort of their bits, 16 at a time."""
    # -0.0 equals 0.0, and becomes it.
    bits = np.subtract(0.0, score, dtype=np.float64).view(np.int64)
    # As unsigned integers that ascend with the number.
    key = np.where(bits < 0, ~bits, bits ^ np.int64(-(2**63))).view(np.uint64)
    order = np.arange(len(score))
    for shift in range(0, 64, 16):
        digit = (key >> np.uint64(shift)).astype(np.uint16)  # the low 16 bits of it
        if len(digit) and (digit != digit[0]).any():
            order = order[np.argsort(digit[order], kind="stable")]
    return order


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
            stacklevel=5,
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
    order = _by_image_and_score(image, score, rows, image_count)
    order = order[_stable_by(category[order], category_count)]
    key = ground_truth.pair_key(image[order], category[order])
    group, rank = _groups(key)
    if per_group is not None and len(rank) and rank.max() >= per_group:
        is_kept = rank < per_group
        order, key, group, rank = order[is_kept], key[is_kept], group[is_kept], rank[is_kept]
    category, score = category[order], score[order]
    by_score = stable_descending(score)
    by_score = by_score[_stable_by(category[by_score], category_count)]

    gt_key = ground_truth.pair_key(ground_truth.image, ground_truth.category)
    gt_row = np.argsort(gt_key, kind="stable")
    gt_key = gt_key[gt_row]
    starts = key[rank == 0]
    first = np.searchsorted(gt_key, starts, side="left")
    last = np.searchsorted(gt_key, starts, side="right")
    return Arrangement(
        row=order,
        image=image[order],
        category=category,
        score=score,
        rank=rank,
        group=group,
        gt_row=gt_row,
        gt_start=first[group],
        gt_count=(last - first)[group],
        by_score=by_score,
    )


def _by_image_and_score(
    image: np.ndarray, score: np.ndarray, rows: np.ndarray, images: int
) -> np.ndarray:
    """Return the rows by image, then descending score, then place in the file."""
    image, score = image[rows], score[rows]
    is_next = image[1:] > image[:-1]
    if (is_next | ((image[1:] == image[:-1]) & (score[1:] <= score[:-1]))).all():
        return rows  # as most programs write them
    order = stable_descending(score)
    return rows[order[_stable_by(image[order], images)]]


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


def pairs_of_groups(
    arrangement: Arrangement,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield all pairs (detection, annotation) of the same group, some at a time."""
    with_gt = np.flatnonzero(arrangement.gt_count)
    counts = arrangement.gt_count[with_gt]
    for block in pair_blocks(counts, PAIRS_AT_ONCE):
        detections, count = with_gt[block], counts[block]
        shift = arrangement.gt_start[detections] - np.cumsum(count) + count
        detection = np.repeat(detections, count)
        yield detection, np.arange(len(detection)) + np.repeat(shift, count)


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
        dt_box: boxes of the detections in the order of their file [all, 4].
        gt_box: boxes in the arrangement's order [G, 4].
        is_crowd: in the arrangement's order [G].
        lowest: the lowest IoU threshold.
    """
    dt_columns = np.stack([column[arrangement.row] for column in dt_box.T])
    gt_columns = gt_box.T.copy()
    gt_ends = gt_columns[:2] + gt_columns[2:]
    gt_lengths = np.where(is_crowd, 0.0, gt_columns[2:])
    parts = []
    for detection, annotation in pairs_of_groups(arrangement):
        # The IoU is at most the part of the detection's width, or height, that the boxes share, and
        # of the annotation's unless it is a crowd. A little less is asked for, for rounding.
        for axis in range(2):
            start, length = dt_columns[axis][detection], dt_columns[axis + 2][detection]
            shared = np.minimum(start + length, gt_ends[axis][annotation])
            shared -= np.maximum(start, gt_columns[axis][annotation])
            np.maximum(length, gt_lengths[axis][annotation], out=length)
            near = np.flatnonzero((shared > 0) & (shared >= (lowest - 1e-6) * length))
            detection, annotation = detection[near], annotation[near]
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


@dataclass(frozen=True)
class Matches:
    """The matches of the M detections that have overlaps; T thresholds, A area ranges.

    Bit ``T * area range + threshold`` of ``matched`` and ``true`` is that of one evaluation.
    """

    detection: np.ndarray  # [M] into Arrangement.row, ascending
    matched: np.ndarray  # [M] uint64
    true: np.ndarray  # [M] uint64, matched to an annotation that counts
    iou: np.ndarray  # [A, M] with its match at the lowest threshold; 0 without one
    free: np.ndarray  # [G] uint64, annotations that no detection took


def flags(bits: np.ndarray, ranges: int, thresholds: int) -> np.ndarray:
    """Return the bits [M] of `Matches` as booleans [A, T, M]."""
    every = np.unpackbits(
        bits.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little"
    )
    used = every[:, : ranges * thresholds].T
    return np.ascontiguousarray(used).view(np.bool_).reshape(ranges, thresholds, -1)


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
        thresholds: ascending IoU thresholds [T]; T * A is at most 64.
        is_ignored: annotations that do not count, per area range [G, A].
        is_crowd: [G].
    """
    ranges, count = is_ignored.shape[1], len(thresholds)
    starts = np.flatnonzero(np.diff(overlaps.detection, prepend=-1))
    counts = np.diff(starts, append=len(overlaps.detection))
    detection = overlaps.detection[starts]
    best_first = _best_first(overlaps, starts, counts)
    annotation, iou = overlaps.annotation[best_first], overlaps.iou[best_first]
    lowest = [1 << count * each for each in range(ranges)]
    # All thresholds that the IoU reaches, in every area range.
    reached = np.array([((1 << up) - 1) * sum(lowest) for up in range(count + 1)], dtype=np.uint64)
    passes = reached[np.searchsorted(np.minimum(thresholds, 1 - 1e-10), iou, side="right")]
    every = np.array([bit * ((1 << count) - 1) for bit in lowest], dtype=np.uint64)
    ignored = is_ignored @ every  # the bits of the area ranges where an annotation does not count

    result = Matches(
        detection,
        np.zeros(len(detection), dtype=np.uint64),
        np.zeros(len(detection), dtype=np.uint64),
        np.zeros((ranges, len(detection))),
        np.full(len(is_ignored), ~np.uint64(0)),
    )
    pairs = _Pairs(starts, counts, annotation, iou, passes, lowest)
    # Detections of different groups do not compete: the first of every group, then the second.
    turn = _turns(group[detection])
    order = np.argsort(turn, kind="stable")
    edges = np.flatnonzero(np.diff(turn[order])) + 1
    for rows in np.split(order, edges):
        _match_turn(result, rows, pairs, ignored, is_crowd)
    return result


@dataclass(frozen=True)
class _Pairs:
    """C pairs, by detection, the best of a detection first."""

    starts: np.ndarray  # [M] of each detection
    counts: np.ndarray  # [M]
    annotation: np.ndarray  # [C]
    iou: np.ndarray  # [C]
    passes: np.ndarray  # [C] bits of the thresholds that the IoU reaches
    lowest: list[int]  # [A] bit of the lowest threshold


def _best_first(overlaps: Overlaps, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the order by detection, the highest IoU, the last in the file."""
    order = np.arange(len(overlaps.iou))
    several = np.flatnonzero(np.repeat(counts > 1, counts))
    keys = (-overlaps.annotation[several], -overlaps.iou[several], overlaps.detection[several])
    order[several] = several[np.lexsort(keys)]
    return order


def _turns(group: np.ndarray) -> np.ndarray:
    """Return each detection's place among the detections with overlaps of its group."""
    is_first = np.ones(len(group), dtype=bool)
    is_first[1:] = group[1:] != group[:-1]
    starts = np.flatnonzero(is_first)
    return np.arange(len(group)) - starts[np.cumsum(is_first) - 1]


def _match_turn(
    result: Matches,
    rows: np.ndarray,
    pairs: _Pairs,
    ignored: np.ndarray,
    is_crowd: np.ndarray,
) -> None:
    """Match detections ``rows`` of different groups, and take their annotations.

    Each takes the best annotation that counts and is free; where none does, an ignored one.
    """
    free = result.free
    for is_second_choice in (False, True):
        chosen, place = rows, 0
        while len(chosen):
            pair = pairs.starts[chosen] + place
            annotation = pairs.annotation[pair]
            allowed = ignored[annotation] if is_second_choice else ~ignored[annotation]
            taken = pairs.passes[pair] & free[annotation] & allowed & ~result.matched[chosen]
            result.matched[chosen] |= taken
            if not is_second_choice:
                result.true[chosen] |= taken
            free[annotation] &= ~np.where(is_crowd[annotation], np.uint64(0), taken)
            _keep_iou(result, chosen, taken, pairs.iou[pair], pairs.lowest)
            place += 1
            chosen = chosen[pairs.counts[chosen] > place]


def _keep_iou(
    result: Matches, rows: np.ndarray, taken: np.ndarray, iou: np.ndarray, lowest: list[int]
) -> None:
    """Keep the IoU of matches at the lowest threshold, which is what LRP needs."""
    for kept, bit in zip(result.iou, lowest, strict=True):
        is_lowest = (taken & np.uint64(bit)) > 0
        kept[rows[is_lowest]] = iou[is_lowest]
