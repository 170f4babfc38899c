"""Whether detections of higher scores are better localized: correlation of score and IoU.

aLRP Loss and Rank & Sort Loss claim this of their detectors (Oksuz et al., NeurIPS 2020 and ICCV
2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rankdet.evaluation.average_precision import ScoredMatches

BINS = 10


def localization_by_score(matches: ScoredMatches) -> dict[str, Any]:
    """Compare score and IoU of the true positives at IoU 0.5, of all classes together.

    They are those of AP50: detections beyond the limit per image, and those that match an ignored
    annotation, are none.

    Args:
        matches: in score order.

    Returns:
        "true_positives", how many there are; "pearson" and "spearman", the correlations in
        [-1, 1], None if there are less than two or if all scores or all IoUs are equal; "bins", up
        to 10 of about as many true positives each, by ascending score: lists of "count" and of the
        mean "score" and "IoU". Equal scores are in one bin.
    """
    true = np.flatnonzero(matches.is_true[0, 0])
    score, iou = matches.score[matches.position[true]], matches.iou[0, true]
    order = np.lexsort((iou, score))  # sums do not depend on the order of the file
    score, iou = score[order], iou[order]
    return {
        "true_positives": len(true),
        "pearson": pearson(score, iou),
        "spearman": pearson(ranks(score), ranks(iou)),
        "bins": _bins(score, iou),
    }


def ranks(values: np.ndarray) -> np.ndarray:
    """Return the rank of each value from 1 [N]; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    shared: np.ndarray = (np.cumsum(count) - (count - 1) / 2)[place]
    return shared


def pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Pearson's correlation of [N] and [N]; None where it is undefined."""
    columns = []
    for values in (first, second):
        if len(values) < 2 or values.min() == values.max():
            return None
        scaled = values / np.abs(values).max()  # the squares of any finite numbers are finite
        centered = scaled - scaled.mean()
        columns.append(centered / np.sqrt(np.square(centered).sum()))
    return round(float(np.clip(columns[0] @ columns[1], -1, 1)), 6)


def _bins(score: np.ndarray, iou: np.ndarray) -> dict[str, list[Any]]:
    place = np.ceil(ranks(score) * BINS / max(len(score), 1)).astype(np.int64) - 1
    count = np.bincount(place, minlength=BINS)
    used = np.flatnonzero(count)
    means = {
        name: [round(_mean(values[place == each]), 6) for each in used]
        for name, values in (("score", score), ("IoU", iou))
    }
    return {"count": count[used].tolist(), **means}


def _mean(values: np.ndarray) -> float:
    return float(np.sum(values / len(values)))  # the sum of finite numbers could be infinite
