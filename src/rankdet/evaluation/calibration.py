"""How well scores predict whether, and how well, detections are right: D-ECE, LaECE, LaACE.

- D-ECE: scores against precision (Kueppers et al., "Multivariate Confidence Calibration for Object
  Detection", 2020).
- LaECE: class by class, scores against precision times mean IoU of the true positives (Oksuz et
  al., "Towards Building Self-Aware Object Detectors via Reliable Uncertainty Quantification and
  Calibration", 2023).
- LaECE_0 and LaACE_0: scores against the IoU with the matched object, whatever it is; LaACE_0
  without bins (Kuzucu et al., "On Calibration of Object Detectors: Pitfalls, Evaluation and
  Baselines", 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rankdet.errors import InputError
from rankdet.evaluation.columns import IOU_TYPES, Detections, GroundTruth, choose
from rankdet.evaluation.evaluator import (
    LIMITS,
    annotation_counts,
    matched,
    uncounted,
)
from rankdet.evaluation.lrp import TAU, mean_of_defined
from rankdet.evaluation.reading import (
    paused_garbage_collector,
    read_detections,
    read_ground_truth,
)

BINS = 25  # as in the papers of LaECE and LaACE
ANY_OVERLAP = 1e-9  # tau = 0: an object that does not overlap at all is no match
NAMES = ("D-ECE", "LaECE", "LaECE_0", "LaACE_0")


@dataclass(frozen=True)
class Judged:
    """N detections that count, matched at one threshold tau; I images."""

    category: np.ndarray  # [N]
    image: np.ndarray  # [N]
    score: np.ndarray  # [N] in [0, 1]
    is_true: np.ndarray  # [N]
    iou: np.ndarray  # [N] of the match; 0 without one

    def only(self, kept: np.ndarray) -> Judged:
        """Return the detections that are ``kept`` [N]."""
        return Judged(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Split:
    """Detections on some images, as calibration looks at them.

    Attributes:
        strict: matched at IoU 0.5.
        loose: matched at any overlap.
        counts: annotations of each category that count [K].
        images: how many there are.
    """

    strict: Judged
    loose: Judged
    counts: np.ndarray
    images: int

    def scored(self, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Split:
        """Return the same detections with other scores, in the same order within a class.

        Args:
            change: returns new scores [N] for categories and scores [N].

        Returns:
            The split with these scores.
        """
        strict, loose = (
            replace(each, score=change(each.category, each.score))
            for each in (self.strict, self.loose)
        )
        return replace(self, strict=strict, loose=loose)

    def above(self, threshold: np.ndarray) -> Split:
        """Return the detections with a score of at least that of their class; NaN drops a class.

        Args:
            threshold: of each category [K].

        Returns:
            The split without the others; ``counts`` stay.
        """
        strict, loose = (
            each.only(each.score >= threshold[each.category]) for each in (self.strict, self.loose)
        )
        return replace(self, strict=strict, loose=loose)


def split(truth: GroundTruth, found: Detections, iou_type: str) -> Split:
    """Match detections for calibration.

    Args:
        truth: the annotations.
        found: the detections.
        iou_type: "bbox" or "segm".

    Returns:
        The detections on all images.

    Raises:
        InputError: on malformed input, or if a score is not in [0, 1].
    """
    return _splits(truth, found, iou_type, [np.ones(len(truth.image_ids), dtype=bool)])[0]


def divided(
    truth: GroundTruth, found: Detections, iou_type: str, held: int, seed: int
) -> tuple[Split, Split]:
    """Match detections once, and divide the images at random.

    Args:
        truth: the annotations.
        found: the detections.
        iou_type: "bbox" or "segm".
        held: images of the second part.
        seed: of the division.

    Returns:
        The detections on the other images, and on those that are held out.

    Raises:
        InputError: on malformed input, or if a score is not in [0, 1].
    """
    images = len(truth.image_ids)
    is_held = np.zeros(images, dtype=bool)
    is_held[np.random.default_rng(seed).permutation(images)[:held]] = True
    first, second = _splits(truth, found, iou_type, [~is_held, is_held])
    return first, second


def _splits(
    truth: GroundTruth, found: Detections, iou_type: str, parts: list[np.ndarray]
) -> list[Split]:
    """Return the detections on the images of each part, which are flagged [I]."""
    if len(found) and not (found.score.min() >= 0 and found.score.max() <= 1):
        wrong = found.score[(found.score < 0) | (found.score > 1)][0]
        raise InputError(
            "scores in [0, 1], to compare with a precision",
            f"{wrong:g}",
            "apply the detector's sigmoid or softmax first",
        )
    with paused_garbage_collector():
        judged = [_judged(truth, found, iou_type, tau) for tau in (TAU, ANY_OVERLAP)]
    counted, result = ~uncounted(truth), []
    for is_in in parts:
        strict, loose = (each.only(is_in[each.image]) for each in judged)
        counts = annotation_counts(truth, counted & is_in[truth.image][:, None])[:, 0]
        result.append(Split(strict, loose, counts, int(is_in.sum())))
    return result


def _judged(truth: GroundTruth, found: Detections, iou_type: str, tau: float) -> Judged:
    limit = LIMITS[truth.protocol][-1]
    done = matched(truth, found, iou_type, "auto", limit, thresholds=np.array([tau]))
    known, is_true = done.arrangement, done.is_true()
    iou = np.zeros(len(known.row))
    iou[done.matches.detection] = done.matches.iou[0]
    every = Judged(known.category, known.image, known.score, is_true, np.where(is_true, iou, 0.0))
    return every.only(is_true | done.is_false())


@dataclass(frozen=True)
class Bins:
    """Bins of the score, for a reliability diagram; empty ones are NaN.

    Attributes:
        count: detections of each [B].
        score: their mean score [B].
        target: their precision, or their mean IoU [B].
    """

    count: np.ndarray
    score: np.ndarray
    target: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error; NaN without detections."""
        total = self.count.sum()
        if not total:
            return float("nan")
        gaps = np.abs(self.score - self.target)
        return float(np.nansum(gaps * self.count) / total)


def binned(score: np.ndarray, target: np.ndarray, bins: int = BINS) -> Bins:
    """Sort detections into bins of equal width, which hold their upper ends; the first also 0.

    Args:
        score: in [0, 1] [N].
        target: what the score should predict [N].
        bins: how many, B.

    Returns:
        The mean score and target of each bin.
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.maximum(np.searchsorted(edges, score, side="left") - 1, 0)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [
            np.bincount(place, weights=values, minlength=bins) / count
            for values in (score, target.astype(float))
        ]
    return Bins(count, *means)


def position_d_ece(
    score: np.ndarray, is_true: np.ndarray, features: np.ndarray, bins: int = 5, least: int = 8
) -> float:
    """D-ECE over bins of the score and of other features, such as box center and size.

    Args:
        score: in [0, 1] [N].
        is_true: true positives [N].
        features: in [0, 1], relative to the image [N, F].
        bins: of each dimension.
        least: bins with fewer detections are left out, as in the paper.

    Returns:
        The error, weighted by the detections of the bins that count; NaN if none does.
    """
    edges = np.linspace(0, 1, bins + 1)
    columns = np.column_stack([score, features])
    place = np.clip(np.searchsorted(edges, columns, side="left") - 1, 0, bins - 1)
    _, cell = np.unique(place, axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    count = np.bincount(cell)
    gaps = np.abs(np.bincount(cell, weights=score - is_true))
    counted = count >= least
    return float(gaps[counted].sum() / count[counted].sum()) if counted.any() else float("nan")


def errors_of(split: Split, bins: int = BINS) -> dict[str, float | None]:
    """Compute D-ECE, LaECE, LaECE_0 and LaACE_0 in [0, 1]; None without detections.

    Detections of classes without annotations do not count; LaECE and LaACE are means over the
    classes that have annotations and detections.

    Args:
        split: the detections.
        bins: of the score.

    Returns:
        The errors by name.
    """
    strict, loose = (
        each.only(split.counts[each.category] > 0) for each in (split.strict, split.loose)
    )
    error = binned(strict.score, strict.is_true, bins).error
    return {
        "D-ECE": None if np.isnan(error) else error,
        "LaECE": _mean(_by_class(strict, split.counts, bins)),
        "LaECE_0": _mean(_by_class(loose, split.counts, bins)),
        "LaACE_0": _mean(_by_class(loose, split.counts, None)),
    }


def _by_class(judged: Judged, counts: np.ndarray, bins: int | None) -> np.ndarray:
    """Return the error of each class [K]; NaN without detections, -1 without annotations."""
    order = np.argsort(judged.category, kind="stable")
    some = judged.only(order)
    bounds = np.searchsorted(some.category, np.arange(len(counts) + 1))
    errors = np.full(len(counts), np.nan)
    for k in np.flatnonzero(np.diff(bounds)):
        score, iou = some.score[bounds[k] : bounds[k + 1]], some.iou[bounds[k] : bounds[k + 1]]
        errors[k] = np.abs(score - iou).mean() if bins is None else binned(score, iou, bins).error
    return np.where(counts > 0, errors, -1.0)


def _mean(values: np.ndarray) -> float | None:
    return mean_of_defined(values)


def lrp_at(split: Split, threshold: np.ndarray) -> float | None:
    """Return LRP at a score threshold of each class, mean over classes with annotations.

    Args:
        split: the detections.
        threshold: of each category [K]; NaN: no detection of it is kept.

    Returns:
        The mean; None without annotations.
    """
    kept = split.above(threshold).strict
    number = len(split.counts)
    true = np.bincount(kept.category[kept.is_true], minlength=number)
    false = np.bincount(kept.category[~kept.is_true], minlength=number)
    away = np.bincount(kept.category, weights=kept.is_true * (1 - kept.iou), minlength=number)
    present = split.counts > 0
    wrong = away / (1 - TAU) + false + split.counts - true
    values = wrong[present] / (false + split.counts)[present]
    return float(values.mean()) if present.any() else None


def optimal_thresholds(split: Split) -> np.ndarray:
    """Return the score of the lowest LRP of each class [K]; NaN without a true positive."""
    thresholds = np.full(len(split.counts), np.nan)
    judged = split.strict
    order = np.lexsort((-judged.score, judged.category))
    some = judged.only(order)
    bounds = np.searchsorted(some.category, np.arange(len(split.counts) + 1))
    for k in np.flatnonzero((np.diff(bounds) > 0) & (split.counts > 0)):
        rows = slice(bounds[k], bounds[k + 1])
        is_true = some.is_true[rows]
        if not is_true.any():
            continue
        true, false = np.cumsum(is_true), np.cumsum(~is_true)
        away = np.cumsum(np.where(is_true, 1 - some.iou[rows], 0.0))
        count = split.counts[k]
        error = (away / (1 - TAU) + false + count - true) / (false + count)
        error[~is_true] = np.inf
        thresholds[k] = some.score[rows][np.argmin(error)]
    return thresholds


def deployment_thresholds(split: Split, least: int = 10) -> np.ndarray:
    """Return a score threshold for each class [K], for images other than those of the split.

    The best threshold of a class with few true positives is chance: such classes share the one of
    the lowest mean LRP, of up to 200 scores of true positives.

    Args:
        split: the detections.
        least: true positives that a class needs for a threshold of its own.

    Returns:
        The thresholds [K]; NaN if there is no true positive at all.
    """
    judged, number = split.strict, len(split.counts)
    scores = np.unique(judged.score[judged.is_true])
    if not len(scores):
        return np.full(number, np.nan)
    chosen = np.linspace(0, len(scores) - 1, min(len(scores), 200)).astype(np.int64)
    errors = [lrp_at(split, np.full(number, score)) for score in scores[chosen]]
    common = scores[chosen][int(np.argmin([1.0 if each is None else each for each in errors]))]
    true = np.bincount(judged.category[judged.is_true], minlength=number)
    own = optimal_thresholds(split)
    return np.where((true >= least) & ~np.isnan(own), own, common)


def calibration_errors(
    annotations: str | Path | dict[str, Any] | GroundTruth,
    detections: str | Path | list[Any] | Detections,
    iou_type: Literal["bbox", "segm"] = "bbox",
    protocol: Literal["coco", "lvis"] | None = None,
    bins: int = BINS,
    min_score: float = 0.0,
) -> dict[str, float | None]:
    """Compute D-ECE, LaECE, LaECE_0 and LaACE_0 of detections.

    Most detections of a detector that keeps 100 of each image have scores near 0, and decide these
    numbers: compare at the threshold that is deployed (``min_score``; Kuzucu et al., 2024).

    Args:
        annotations: see `rankdet.evaluation.evaluate`.
        detections: likewise; scores in [0, 1].
        iou_type: overlap of boxes or of masks.
        protocol: "coco" or "lvis", see `rankdet.evaluation.evaluate`.
        bins: of the score, 25 in the papers.
        min_score: detections with a lower score are left out.

    Returns:
        The four errors in [0, 1]; None without detections of annotated classes.

    Raises:
        InputError: on malformed input, or if a score is not in [0, 1].
    """
    choose("iou_type", iou_type, IOU_TYPES)
    truth = read_ground_truth(annotations, (iou_type,), protocol)
    found = split(truth, read_detections(detections, truth), iou_type)
    return errors_of(found.above(np.full(len(found.counts), min_score)), bins)
