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
    image: np.ndarray  # [N]
    rank: np.ndarray  # [N] place within image and category
    score: np.ndarray  # [N]
    costs: np.ndarray  # [A, N] counts as a false positive if it is not matched
    position: np.ndarray  # [M]
    is_matched: np.ndarray  # [A, T, M]
    is_true: np.ndarray  # [A, T, M]
    iou: np.ndarray  # [A, M]

    def within(self, limit: int) -> ScoredMatches:
        """Return the matches of the best ``limit`` detections of each image and category.

        Lower scores do not change the matches of higher ones.
        """
        return self.only(self.rank < limit)

    def only(self, kept: np.ndarray) -> ScoredMatches:
        """Return the matches of the detections that are ``kept`` [N]."""
        some = kept[self.position]
        return ScoredMatches(
            category=self.category[kept],
            image=self.image[kept],
            rank=self.rank[kept],
            score=self.score[kept],
            costs=self.costs[:, kept],
            position=(np.cumsum(kept) - 1)[self.position[some]],
            is_matched=self.is_matched[:, :, some],
            is_true=self.is_true[:, :, some],
            iou=self.iou[:, some],
        )


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
    category, rank = matches.category[matches.position], matches.rank[matches.position]
    for area_range in range(ranges):
        true = _TruePositives(*np.nonzero(matches.is_true[area_range]))
        of_class = category[true.detection]
        totals = np.stack(
            [true.counts(rank < limit, of_class, (thresholds, categories)) for limit in limits],
            axis=-1,
        )  # [T, K, L]
        with np.errstate(divide="ignore", invalid="ignore"):
            recall[:, :, area_range] = totals / gt_count[None, :, area_range, None]
        false = FalsePositives(matches, area_range, categories).before(
            of_class,
            matches.position[true.detection] + 1,
            true.detection + 1,
            true.threshold,
        )
        precision[:, area_range] = _precision(
            true.threshold, of_class, false, totals[:, :, -1], gt_count[:, area_range]
        )
    precision = precision.transpose(0, 3, 2, 1)
    is_absent = gt_count == 0
    precision[:, :, is_absent] = -1
    recall[:, is_absent] = -1
    return Accumulated(precision, recall, gt_count)


@dataclass(frozen=True)
class _TruePositives:
    """All true positives of an area range, by threshold, then in score order."""

    threshold: np.ndarray  # [P]
    detection: np.ndarray  # [P] among the M

    def counts(
        self, is_counted: np.ndarray, category: np.ndarray, shape: tuple[int, int]
    ) -> np.ndarray:
        """Count those of each threshold and ``category`` [P] into [T, K], if ``is_counted`` [M]."""
        key = self.threshold * shape[1] + category
        if not is_counted.all():
            key = key[is_counted[self.detection]]
        return np.bincount(key, minlength=shape[0] * shape[1]).reshape(shape)


class FalsePositives:
    """Counts the false positives of an area range: what costs if unmatched, less the matched.

    Args:
        matches: in score order.
        area_range: the index of the range.
        categories: how many there are.
    """

    def __init__(self, matches: ScoredMatches, area_range: int, categories: int) -> None:
        costs = matches.costs[area_range]
        self._costing = np.zeros(len(costs) + 1, dtype=np.int32)
        np.cumsum(costs, out=self._costing[1:])
        spared = matches.is_matched[area_range] & costs[matches.position]
        self._spared = np.zeros((len(spared), spared.shape[1] + 1), dtype=np.int32)
        np.cumsum(spared, axis=1, out=self._spared[:, 1:])
        self._first = np.searchsorted(matches.category, np.arange(categories))
        self._first_match = np.searchsorted(matches.position, self._first)

    def before(
        self,
        category: np.ndarray,
        stop: np.ndarray,
        stop_match: np.ndarray,
        threshold: np.ndarray | int,
    ) -> np.ndarray:
        """Count those of a category among its detections before a place in score order [P].

        Args:
            category: [P].
            stop: the place among the N detections [P].
            stop_match: the same place among the M with overlaps [P].
            threshold: index of the IoU threshold [P].
        """
        unmatched = self._costing[stop] - self._costing[self._first][category]
        first = self._first_match[category]
        return unmatched - (self._spared[threshold, stop_match] - self._spared[threshold, first])


def _precision(
    threshold: np.ndarray,
    category: np.ndarray,
    false: np.ndarray,
    totals: np.ndarray,
    gt_count: np.ndarray,
) -> np.ndarray:
    """Precision at each recall level [T, K, R]: the highest at or beyond the level.

    Args:
        threshold: of each of the P true positives, ascending; then in score order.
        category: of each.
        false: false positives up to each.
        totals: true positives of each class [T, K].
        gt_count: annotations that count [K].
    """
    starts = np.cumsum(totals).reshape(totals.shape) - totals  # [T, K] into the list
    number = (np.arange(1, len(false) + 1) - starts[threshold, category]).astype(float)
    value = number / (false + number + EPSILON)

    needed = _needed(gt_count)
    is_reached = needed[None] <= totals[:, :, None]
    is_reached &= (totals > 0)[:, :, None]
    begin = (starts[:, :, None] + np.maximum(needed, 1)[None] - 1)[is_reached]
    precision = np.zeros(is_reached.shape)
    if len(begin):
        # From one level to the next; the last one of a class ends where the next class starts.
        precision[is_reached] = np.maximum.reduceat(value, begin)
    return np.maximum.accumulate(precision[:, :, ::-1], axis=2)[:, :, ::-1]


def recall_scores(matches: ScoredMatches, gt_count: np.ndarray) -> np.ndarray:
    """Return the score at which each recall level is reached [T, R, K, A].

    0 where it is not reached, -1 where the class is absent; level 0 is reached by the first
    detection (COCO toolkit, accumulate).

    Args:
        matches: in score order.
        gt_count: annotations that count [K, A].
    """
    ranges, thresholds, _ = matches.is_true.shape
    categories = len(gt_count)
    found = np.zeros((thresholds, len(RECALL_LEVELS), categories, ranges))
    category = matches.category[matches.position]
    first = np.searchsorted(matches.category, np.arange(categories + 1))
    has_any = np.flatnonzero(np.diff(first))
    for area_range in range(ranges):
        true = _TruePositives(*np.nonzero(matches.is_true[area_range]))
        is_all = np.ones(len(category), dtype=bool)
        totals = true.counts(is_all, category[true.detection], (thresholds, categories))
        starts = np.cumsum(totals).reshape(totals.shape) - totals
        needed = _needed(gt_count[:, area_range])  # [K, R]
        is_reached = (needed[None] <= totals[:, :, None]) & (needed[None] > 0)
        score = matches.score[matches.position[true.detection]]
        values = np.zeros(is_reached.shape)  # [T, K, R]
        values[is_reached] = score[(starts[:, :, None] + needed[None] - 1)[is_reached]]
        values[:, has_any, 0] = matches.score[first[has_any]]
        found[..., area_range] = values.transpose(0, 2, 1)
    found[:, :, gt_count == 0] = -1
    return found


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
MOST_PAIRS = 1 << 26  # of image and category in a table of flags, 64 MB; LVIS v1 has 24 million


def best_per_image(image: np.ndarray, score: np.ndarray, limit: int = PER_IMAGE) -> np.ndarray:
    """Return the rows of the ``limit`` highest scores of each image, in file order; ties stable."""
    is_full = np.bincount(image)[image] > limit if len(image) else np.zeros(0, dtype=bool)
    if not is_full.any():
        return np.arange(len(image))
    full = np.flatnonzero(is_full)
    order = full[np.argsort(-score[full], kind="stable")]
    order = order[np.argsort(image[order], kind="stable")]
    grouped = image[order]
    is_first = np.ones(len(grouped), dtype=bool)
    is_first[1:] = grouped[1:] != grouped[:-1]
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(grouped)) - starts[np.cumsum(is_first) - 1]
    return np.sort(np.concatenate([np.flatnonzero(~is_full), order[rank < limit]]))


def best_per_class(category: np.ndarray, score: np.ndarray, limit: int) -> np.ndarray:
    """Return the rows of the ``limit`` highest scores of each known category, in file order."""
    known = np.flatnonzero(category >= 0)
    return known[best_per_image(category[known], score[known], limit)]


def federated_rows(
    ground_truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    score: np.ndarray,
    area: np.ndarray,
    chosen: np.ndarray | None = None,
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
        chosen: the rows to evaluate; by default the best 300 of each image.

    Returns:
        The rows in file order, and a flag for each of the N.
    """
    rows = best_per_image(image, score) if chosen is None else chosen
    rows = rows[(category[rows] >= 0) & (area[rows] > 0)]
    key = ground_truth.pair_key(image[rows], category[rows])
    annotated = ground_truth.pair_key(ground_truth.image, ground_truth.category)
    pairs = len(ground_truth.image_ids) * len(ground_truth.category_ids)
    is_judged = _among(key, pairs, annotated, ground_truth.negative)
    rows, key = rows[is_judged], key[is_judged]
    is_unlabeled = np.zeros(len(image), dtype=bool)
    is_unlabeled[rows] = _among(key, pairs, ground_truth.not_exhaustive)
    return rows, is_unlabeled


def _among(keys: np.ndarray, count: int, *known: np.ndarray) -> np.ndarray:
    """Return whether each of the ``keys``, which are below ``count``, is a known one."""
    if count > MOST_PAIRS:
        return np.isin(keys, np.concatenate(known))
    table = np.zeros(count, dtype=bool)
    for some in known:
        table[some] = True
    return table[keys]
