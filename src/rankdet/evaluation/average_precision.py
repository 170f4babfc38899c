"""Average precision and recall of every class, threshold and area range from the matches.

Precision rises only at true positives, so the 101-point curve needs no other detections. Source:
COCO toolkit, accumulate, without its loops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdet.evaluation.columns import GroundTruth

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_LEVELS = np.linspace(0.0, 1.0, 101)
EPSILON = np.spacing(1)


@dataclass(frozen=True)
class Accumulated:
    """T thresholds, R recall levels, K categories, A area ranges, L limits of detections."""

    precision: np.ndarray  # [T, R, K, A] at the highest limit; -1 where the class is absent
    recall: np.ndarray  # [T, K, A, L]; -1 where the class is absent
    gt_count: np.ndarray  # [K, A] annotations that count


@dataclass(frozen=True)
class ScoredMatches:
    """The matches in score order, for one pass over all classes; N detections, M with overlaps.

    ``position`` is the place of each of the M among the N; both ascend by category, then score.
    """

    category: np.ndarray  # [N]
    rank: np.ndarray  # [N] place within image and category
    score: np.ndarray  # [N]
    costs: np.ndarray  # [N, A] counts as a false positive if it is not matched
    position: np.ndarray  # [M]
    is_matched: np.ndarray  # [M, T, A]
    is_true: np.ndarray  # [M, T, A]
    iou: np.ndarray  # [M, A]


def accumulate(
    matches: ScoredMatches, gt_count: np.ndarray, limits: tuple[int, ...]
) -> Accumulated:
    """Compute precision at 101 recall levels and the final recall.

    Args:
        matches: in score order.
        gt_count: annotations that count [K, A].
        limits: detections per image and category, ascending; the matches obey the last.
    """
    thresholds = matches.is_true.shape[1]
    categories, ranges = gt_count.shape
    precision = np.zeros((thresholds, ranges, categories, len(RECALL_LEVELS)))
    recall = np.zeros((thresholds, categories, ranges, len(limits)))
    category = matches.category[matches.position]
    before = np.searchsorted(category, np.arange(categories + 1))
    dt_before = np.searchsorted(matches.category, np.arange(categories))
    with np.errstate(divide="ignore", invalid="ignore"):
        for area_range in range(ranges):
            is_true = matches.is_true[:, :, area_range]
            totals = np.stack(
                [
                    _sums(is_true & (matches.rank[matches.position] < limit)[:, None], before)
                    for limit in limits
                ],
                axis=-1,
            )  # [T, K, L]
            recall[:, :, area_range] = totals / gt_count[None, :, area_range, None]
            false = _false_positives(matches, area_range, category, before, dt_before)
            precision[:, area_range] = _precision(
                is_true, false, category, totals[:, :, -1], gt_count[:, area_range]
            )
    precision = precision.transpose(0, 3, 2, 1)
    is_absent = gt_count == 0
    precision[:, :, is_absent] = -1
    recall[:, is_absent] = -1
    return Accumulated(precision, recall, gt_count)


def _sums(flags: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Sum ``flags`` [M, T] per category into [T, K]; ``before`` [K + 1] are the bounds."""
    running = np.zeros((len(flags) + 1, flags.shape[1]), dtype=np.int64)
    np.cumsum(flags, axis=0, out=running[1:])
    return np.diff(running[before], axis=0).T


def _false_positives(
    matches: ScoredMatches,
    area_range: int,
    category: np.ndarray,
    before: np.ndarray,
    dt_before: np.ndarray,
) -> np.ndarray:
    """Count the false positives of the same class up to each of the M detections [M, T].

    All that cost if unmatched, less those that are matched.
    """
    costs = matches.costs[:, area_range]
    running = np.zeros(len(costs) + 1, dtype=np.int32)
    np.cumsum(costs, out=running[1:])
    unmatched = running[matches.position + 1] - running[dt_before][category]
    spared = matches.is_matched[:, :, area_range] & costs[matches.position][:, None]
    running = np.zeros((len(spared) + 1, spared.shape[1]), dtype=np.int32)
    np.cumsum(spared, axis=0, out=running[1:])
    return unmatched[:, None] - (running[1:] - running[before[category]])


def _precision(
    is_true: np.ndarray,
    false: np.ndarray,
    category: np.ndarray,
    totals: np.ndarray,
    gt_count: np.ndarray,
) -> np.ndarray:
    """Precision at each recall level [T, K, R]: the highest at or beyond the level.

    Args:
        is_true: true positives in score order [M, T].
        false: false positives so far [M, T].
        category: [M].
        totals: true positives of each class [T, K].
        gt_count: annotations that count [K].
    """
    threshold, detection = np.nonzero(is_true.T)
    starts = np.cumsum(totals).reshape(totals.shape) - totals  # [T, K] into the list below
    number = np.arange(1, len(detection) + 1) - starts[threshold, category[detection]]
    true = number.astype(float)
    value = true / (false[detection, threshold] + true + EPSILON)

    needed = _needed(gt_count)
    is_reached = needed[None] <= totals[:, :, None]
    is_reached &= (totals > 0)[:, :, None]
    begin = (starts[:, :, None] + np.maximum(needed, 1)[None] - 1)[is_reached]
    precision = np.zeros(is_reached.shape)
    if len(begin):
        # From one level to the next; the last one of a class ends where the next class starts.
        precision[is_reached] = np.maximum.reduceat(value, begin)
    return np.maximum.accumulate(precision[:, :, ::-1], axis=2)[:, :, ::-1]


def _needed(gt_count: np.ndarray) -> np.ndarray:
    """Return the fewest true positives whose float64 recall reaches each level [K, R]."""
    count = np.maximum(gt_count, 1)[:, None]
    needed = np.ceil(RECALL_LEVELS * count)
    needed = np.where((needed - 1) / count >= RECALL_LEVELS, needed - 1, needed)
    needed = np.where(needed / count < RECALL_LEVELS, needed + 1, needed)
    return needed.astype(np.int64)


def mean_of_present(values: np.ndarray) -> float | None:
    """Mean of the values that are not -1; None if there is none."""
    present = values[values > -1]
    return float(np.mean(present)) if present.size else None


PER_IMAGE = 300


def best_per_image(image: np.ndarray, score: np.ndarray, limit: int = PER_IMAGE) -> np.ndarray:
    """Return the rows of the ``limit`` highest scores of each image, in file order; ties stable."""
    order = np.argsort(-score, kind="stable")
    order = order[np.argsort(image[order], kind="stable")]
    grouped = image[order]
    is_first = np.ones(len(grouped), dtype=bool)
    is_first[1:] = grouped[1:] != grouped[:-1]
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(grouped)) - starts[np.cumsum(is_first) - 1]
    return np.sort(order[rank < limit])


def federated_rows(
    ground_truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    score: np.ndarray,
    area: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the detections that LVIS evaluates, and which are ignored when they match nothing.

    A category is evaluated on an image where it has annotations or is known to be absent; where it
    is only partly labeled, unmatched detections are no false positives.

    Args:
        ground_truth: with the federated fields.
        image: index of each detection's image [N].
        category: index of each detection's category [N]; -1 unknown.
        score: [N].
        area: [N].

    Returns:
        The rows in file order, and a flag for each of the N.
    """
    rows = best_per_image(image, score)
    rows = rows[(category[rows] >= 0) & (area[rows] > 0)]
    key = ground_truth.pair_key(image, category)
    annotated = ground_truth.pair_key(ground_truth.image, ground_truth.category)
    judged = np.union1d(annotated, ground_truth.negative)
    return rows[np.isin(key[rows], judged)], np.isin(key, ground_truth.not_exhaustive)
