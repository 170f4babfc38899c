"""Localization Recall Precision (LRP) error and its optimum over the score (Oksuz et al.).

LRP of the detections above a score: [sum over TP of (1 - IoU) / (1 - tau) + FP + FN] /
(TP + FP + FN) with tau = 0.5. oLRP is the minimum over every prefix of a class's detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rankdet.evaluation.average_precision import ScoredMatches

TAU = 0.5
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


def optimal_lrp(matches: ScoredMatches, gt_count: np.ndarray) -> LrpErrors:
    """Find the optimum of each class and area range.

    Args:
        matches: in score order; the first threshold is tau.
        gt_count: annotations that count [K, A].
    """
    categories, ranges = gt_count.shape
    blank = np.full((categories, ranges), -1.0)
    result = LrpErrors(
        blank,
        blank.copy(),
        blank.copy(),
        blank.copy(),
        blank.copy(),
        curve=np.full((categories, len(SCORE_GRID)), -1.0),
    )
    bounds = np.searchsorted(matches.category, np.arange(categories + 1))
    match_bounds = np.searchsorted(matches.position, bounds)
    for category in np.flatnonzero(gt_count.any(axis=1)).tolist():
        rows = slice(bounds[category], bounds[category + 1])
        some = slice(match_bounds[category], match_bounds[category + 1])
        _class_optimum(result, category, matches, rows, some, gt_count[category])
    return result


def _class_optimum(
    result: LrpErrors,
    category: int,
    matches: ScoredMatches,
    rows: slice,
    some: slice,
    gt_count: np.ndarray,
) -> None:
    """Write the optimum of one class over all prefixes n = 1 .. of its detections [n, A]."""
    costs = matches.costs[rows].copy()
    is_true = np.zeros(costs.shape, dtype=bool)
    quality = np.zeros(costs.shape)
    place = matches.position[some] - rows.start
    is_true[place] = matches.is_true[some, 0]
    quality[place] = np.where(matches.is_true[some, 0], matches.iou[some], 0.0)
    costs[place] &= ~matches.is_matched[some, 0]

    true = np.cumsum(is_true, axis=0, dtype=float)
    false = np.cumsum(costs, axis=0, dtype=float)
    missed = gt_count - true
    localization = true - np.cumsum(quality, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (localization / (1 - TAU) + false + missed) / (true + false + missed)
    score = matches.score[rows]
    if gt_count[0]:
        kept = np.searchsorted(-score, -SCORE_GRID, side="right")  # prefix with score >= grid
        padded = np.concatenate([[1.0], error[:, 0]])
        result.curve[category] = padded[kept]

    for area_range in np.flatnonzero(gt_count):
        if not len(score) or true[-1, area_range] == 0:
            optimum = (1.0, np.nan, np.nan, 1.0, np.nan)
        else:
            k = (int(np.argmin(error[:, area_range])), area_range)
            with np.errstate(divide="ignore", invalid="ignore"):
                optimum = (
                    error[k],
                    localization[k] / true[k],
                    false[k] / (true[k] + false[k]),
                    missed[k] / gt_count[area_range],
                    score[k[0]],
                )
        columns = (
            result.error,
            result.localization,
            result.false_positive,
            result.false_negative,
            result.threshold,
        )
        for column, value in zip(columns, optimum, strict=True):
            column[category, area_range] = value


def mean_of_defined(values: np.ndarray) -> float | None:
    """Mean over the classes that are neither absent (-1) nor undefined (NaN); None if none."""
    defined = values[values > -1]  # NaN compares false
    return float(np.mean(defined)) if defined.size else None
