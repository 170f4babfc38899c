"""Localization Recall Precision (LRP) error and its optimum over the score (Oksuz et al.).

LRP of the detections above a score: [sum over TP of (1 - IoU) / (1 - tau) + FP + FN] /
(TP + FP + FN) with tau = 0.5. oLRP is the minimum over every prefix of a class's detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdet.evaluation.average_precision import FalsePositives, ScoredMatches

TAU = 0.5
ALL_BUT_ONE = 1 - 1e-6
SCORE_GRID = np.arange(101) / 100  # the float nearest to each hundredth


@dataclass(frozen=True)
class LrpErrors:
    """Per category and area range [K, A]; NaN where undefined, -1 where the class is absent."""

    error: np.ndarray
    localization: np.ndarray  # mean 1 - IoU of the true positives, not divided by 1 - tau
    false_positive: np.ndarray  # 1 - precision
    false_negative: np.ndarray  # 1 - recall
    threshold: np.ndarray  # the score at the optimum
    curve: np.ndarray  # [K, grid] LRP of detections with score >= each of SCORE_GRID, area all


@dataclass(frozen=True)
class _Prefixes:
    """LRP of some prefixes of the classes' detections, P of them."""

    error: np.ndarray  # [P]
    localization: np.ndarray  # [P] sum of 1 - IoU of the true positives
    true: np.ndarray  # [P] counts
    false: np.ndarray  # [P]
    missed: np.ndarray  # [P]


def _prefixes(
    localization: np.ndarray, true: np.ndarray, false: np.ndarray, gt_count: np.ndarray
) -> _Prefixes:
    missed = gt_count - true
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (localization / (1 - TAU) + false + missed) / (true + false + missed)
    return _Prefixes(error, localization, true, false, missed)


class _Counts:
    """What LRP sums over the detections of each class, for one area range.

    Args:
        matches: in score order; the first threshold is tau.
        area_range: the index of the range.
        gt_count: annotations that count [K].
    """

    def __init__(self, matches: ScoredMatches, area_range: int, gt_count: np.ndarray) -> None:
        self._gt_count = gt_count.astype(float)
        self._position = matches.position
        self._false = FalsePositives(matches, area_range, len(gt_count))
        true = np.flatnonzero(matches.is_true[area_range, 0])
        self.position = matches.position[true]  # [P] of the true positives
        self.category = matches.category[self.position]
        self.first = np.searchsorted(self.category, np.arange(len(gt_count) + 1))
        # A 0 in front; the sum of each class starts anew, as if it were alone.
        self._quality = np.concatenate([[0.0], matches.iou[area_range, true]])
        for start, stop in zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True):
            if stop - start > 1:
                part = self._quality[start + 1 : stop + 1]
                np.cumsum(part, out=part)

    def up_to(self, category: np.ndarray, stop: np.ndarray) -> _Prefixes:
        """Return the LRP of detections of a category before a place in score order [P]."""
        last = np.searchsorted(self.position, stop)  # true positives before it, of all classes
        true = (last - self.first[category]).astype(float)
        localization = true - np.where(true > 0, self._quality[last], 0.0)
        stop_match = np.searchsorted(self._position, stop)
        false = self._false.before(category, stop, stop_match, 0).astype(float)
        return _prefixes(localization, true, false, self._gt_count[category])


def optimal_lrp(matches: ScoredMatches, gt_count: np.ndarray) -> LrpErrors:
    """Find the optimum of each class and area range over all prefixes of its detections.

    One more false positive brings the error nearer to 1, so that only prefixes that end with a true
    positive can be the best ones. Where even the best is all but 1, rounding could prefer another
    one: there every prefix is evaluated.

    Args:
        matches: in score order; the first threshold is tau.
        gt_count: annotations that count [K, A].
    """
    shape = gt_count.shape
    result = LrpErrors(
        np.full(shape, -1.0),
        np.full(shape, -1.0),
        np.full(shape, -1.0),
        np.full(shape, -1.0),
        np.full(shape, -1.0),
        curve=np.full((shape[0], len(SCORE_GRID)), -1.0),
    )
    columns = (
        result.error,
        result.localization,
        result.false_positive,
        result.false_negative,
        result.threshold,
    )
    bounds = np.searchsorted(matches.category, np.arange(shape[0] + 1))
    for area_range in range(shape[1]):
        counts = _Counts(matches, area_range, gt_count[:, area_range])
        present = np.flatnonzero(gt_count[:, area_range])
        if area_range == 0:
            result.curve[present] = _curves(counts, matches.score, bounds, present)
        nothing = (1.0, np.nan, np.nan, 1.0, np.nan)
        found = np.flatnonzero(np.diff(counts.first))  # classes with a true positive
        stop = _best_prefixes(counts, found, bounds)
        best = counts.up_to(found, stop)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = (
                best.error,
                best.localization / best.true,
                best.false / (best.true + best.false),
                best.missed / gt_count[found, area_range],
                matches.score[stop - 1],
            )
        for column, value, default in zip(columns, values, nothing, strict=True):
            column[present, area_range] = default
            column[found, area_range] = value
    return result


def _best_prefixes(counts: _Counts, found: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return where the first prefix of the lowest error ends, for the classes ``found`` [F]."""
    error = counts.up_to(counts.category, counts.position + 1).error
    if not len(found):
        return np.zeros(0, dtype=np.int64)
    lowest = np.minimum.reduceat(error, counts.first[found])
    members = np.diff(counts.first)[found]
    is_lowest = np.flatnonzero(error == np.repeat(lowest, members))
    first = is_lowest[np.searchsorted(is_lowest, counts.first[found])]
    stop = counts.position[first] + 1
    for place in np.flatnonzero(lowest > ALL_BUT_ONE).tolist():
        category = found[place]
        stops = np.arange(bounds[category], bounds[category + 1]) + 1
        every = counts.up_to(np.full(len(stops), category), stops)
        stop[place] = stops[np.argmin(every.error)]
    return stop


def _curves(
    counts: _Counts, score: np.ndarray, bounds: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Return LRP of the detections with a score of at least each of SCORE_GRID [present, grid]."""
    curves = np.ones((len(present), len(SCORE_GRID)))
    kept = np.zeros(curves.shape, dtype=np.int64)
    falling = -score
    for row, category in enumerate(present.tolist()):
        scores = falling[bounds[category] : bounds[category + 1]]
        kept[row] = np.searchsorted(scores, -SCORE_GRID, side="right")
    rows, points = np.nonzero(kept)
    of_class = present[rows]
    curves[rows, points] = counts.up_to(of_class, bounds[of_class] + kept[rows, points]).error
    return curves


def mean_of_defined(values: np.ndarray) -> float | None:
    """Mean over the classes that are neither absent (-1) nor undefined (NaN); None if none."""
    defined = values[values > -1]  # NaN compares false
    return float(np.mean(defined)) if defined.size else None
