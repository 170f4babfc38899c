"""Confidence intervals of AP and oLRP, and of their differences, by a bootstrap over images.

Detections are matched once; a resample of the images is a weight per image
(`rankdet.evaluation.weighted`). Percentile and BCa intervals: Efron, "Better Bootstrap Confidence
Intervals", 1987; the acceleration by a jackknife over groups of images.

AP takes the highest precision beyond each recall, oLRP the lowest error over all scores: both look
better on fewer images, and a resample shows only about half of that bias. Bias of a maximum over a
curve falls with the number of images to the power of 2/3 (cube-root asymptotics; Kim and Pollard,
1990), so that halves of the images tell how large it is. The method "corrected" uses that for the
numbers. In the difference of two results the biases nearly cancel: there an estimate of the rest
adds more noise than it removes bias, and quantiles of the resamples hold the truth more often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation.columns import (
    IOU_TYPES,
    Detections,
    GroundTruth,
    choose,
    frequency_groups,
)
from rankdet.evaluation.evaluator import LIMITS, scored_matches
from rankdet.evaluation.reading import (
    paused_garbage_collector,
    read_detections,
    read_ground_truth,
)
from rankdet.evaluation.weighted import Counted, WeightedErrors, WeightedMatches

METHODS = ("corrected", "bca", "percentile")
GROUPS = 100  # of images, one of which is left out at a time
HALVINGS = 20  # random divisions of the images into halves, for the bias
_GROWTH = 2 ** (2 / 3) - 1  # by how much of itself the bias grows on half of the images
_MOST_BIAS = 1.5  # standard errors; a larger estimate is noise of a rare class
OF_DIFFERENCES = {"corrected": "percentile"}  # methods that differences do not have
_PER_CLASS = ("AP", "AP50", "AP75", "oLRP")


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval.

    Attributes:
        value: of the whole data set.
        low: lower end of the interval.
        high: upper end.
        standard_error: standard deviation over the resamples.
        resamples: in which it is defined; a class may be missing from some.
    """

    value: float
    low: float
    high: float
    standard_error: float
    resamples: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside of the interval; of a difference: whether it is significant."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Estimates:
    """Numbers with their intervals; None where the data set does not define them.

    Attributes:
        numbers: AP, AP50, AP75, oLRP in [0, 1]; LVIS also APr, APc, APf, oLRPr, oLRPc, oLRPf.
        per_class: AP, AP50, AP75 and oLRP of each category, in the order of the category ids.
    """

    numbers: dict[str, Interval | None]
    per_class: list[dict[str, Interval | None]]


@dataclass(frozen=True)
class Bootstrap:
    """What `bootstrap` returns.

    Attributes:
        result: of the first detections.
        other: of the second, if they were given.
        difference: second minus first, of the same resamples.
        categories: id, name, annotations and images with annotations of each category, in the
            order of ``per_class``.
        arguments: how the numbers were computed.
    """

    result: Estimates
    other: Estimates | None
    difference: Estimates | None
    categories: list[dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)


def bootstrap(
    annotations: str | Path | dict[str, Any] | GroundTruth,
    detections: str | Path | list[Any] | Detections,
    other: str | Path | list[Any] | Detections | None = None,
    *,
    iou_type: Literal["bbox", "segm"] = "bbox",
    protocol: Literal["coco", "lvis"] | None = None,
    area: Literal["auto", "box", "mask"] = "auto",
    resamples: int = 1000,
    confidence: float = 0.95,
    method: Literal["corrected", "bca", "percentile"] = "corrected",
    seed: int = 0,
) -> Bootstrap:
    """Compute confidence intervals of AP and oLRP by resampling the images.

    The images of the data set stand for a sample of all images that could have been in it. A
    resample draws as many of them with replacement. Two results are compared on the same
    resamples, so that images that are hard for both do not widen the interval of the difference.

    An image that is drawn twice counts as two images, side by side where scores are equal. A class
    counts in the resamples that hold its annotations.

    Args:
        annotations: see `rankdet.evaluation.evaluate`.
        detections: likewise.
        other: the detections of another result on the same images, to compare.
        iou_type: overlap of boxes or of masks.
        protocol: "coco" or "lvis", see `rankdet.evaluation.evaluate`.
        area: likewise; here it only decides which masks and boxes are read.
        resamples: how many.
        confidence: of the intervals, between 0 and 1.
        method: "percentile"; "bca", bias-corrected and accelerated; or "corrected": for AP and
            oLRP themselves BCa with their bias from halves of the images, for differences
            "percentile". Measured coverage: results/reference/evaluation/coverage.md.
        seed: of the random numbers; the same seed gives the same intervals.

    Returns:
        Bootstrap: the numbers of `rankdet.evaluation.evaluate` with their intervals.

    Raises:
        InputError: on malformed input, fewer than two images, or arguments out of range.

    Example:
        >>> found = bootstrap("instances_val2017.json", "a.json", "b.json")  # doctest: +SKIP
        >>> found.difference.numbers["AP"].low  # doctest: +SKIP
    """
    choose("iou_type", iou_type, IOU_TYPES)
    choose("area", area, ("auto", "box", "mask"))
    choose("method", method, METHODS)
    _check_numbers(resamples, confidence, seed)
    truth = read_ground_truth(annotations, (iou_type,), protocol)
    if len(truth.image_ids) < 2:
        raise InputError("at least two images", str(len(truth.image_ids)), "use a larger data set")
    counted = Counted.of(truth)
    prepared = []
    for source in (detections,) if other is None else (detections, other):
        found = read_detections(source, truth)
        with paused_garbage_collector():
            limit = LIMITS[truth.protocol][-1]
            matches, _ = scored_matches(truth, found, iou_type, area, limit)
            prepared.append(WeightedMatches(matches, counted))
    frequency = truth.frequency if truth.protocol == "lvis" else None
    samples = resample(
        [each.errors for each in prepared],
        counted.images,
        frequency,
        resamples,
        seed,
        GROUPS if method != "percentile" else 0,
        HALVINGS if method == "corrected" else 0,
    )
    estimates = [each.estimates(method, confidence) for each in samples]
    return Bootstrap(
        result=estimates[0],
        other=estimates[1] if len(estimates) > 1 else None,
        difference=(
            samples[1].minus(samples[0]).estimates(OF_DIFFERENCES.get(method, method), confidence)
            if len(samples) > 1
            else None
        ),
        categories=_categories(truth, counted),
        arguments=dict(
            iou_type=iou_type,
            protocol=truth.protocol,
            images=counted.images,
            resamples=resamples,
            confidence=confidence,
            method=method,
            seed=seed,
        ),
    )


def _check_numbers(resamples: int, confidence: float, seed: int) -> None:
    if not isinstance(resamples, int) or isinstance(resamples, bool) or resamples < 2:
        raise InputError("resamples of at least 2", shown(resamples), "1000 is usual")
    if not 0 < confidence < 1:
        raise InputError("confidence between 0 and 1", shown(confidence), "0.95 is usual")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError("seed as a whole number, 0 or more", shown(seed), "0 is usual")


def _categories(truth: GroundTruth, counted: Counted) -> list[dict[str, Any]]:
    columns = zip(
        truth.category_ids.tolist(),
        truth.category_names,
        counted.weighted(np.ones(counted.images, dtype=np.int64)).tolist(),
        np.bincount(counted.category, minlength=counted.categories).tolist(),
        strict=True,
    )
    return [
        dict(category_id=key, name=name, annotations=count, images=images)
        for key, name, count, images in columns
    ]


@dataclass(frozen=True)
class Samples:
    """M numbers of the whole data set, of B resamples and of J jackknife samples.

    Attributes:
        names: of the first of the M; the others are those of each class.
        whole: [M].
        resampled: [B, M]; NaN where a number is undefined.
        left_out: [J, M] with a group of images left out.
        halves: [H, M] means over two halves of the images; NaN where a half has none.
    """

    names: list[str]
    whole: np.ndarray
    resampled: np.ndarray
    left_out: np.ndarray
    halves: np.ndarray

    def minus(self, first: Samples) -> Samples:
        """Return the differences from another result on the same resamples."""
        return Samples(
            self.names,
            self.whole - first.whole,
            self.resampled - first.resampled,
            self.left_out - first.left_out,
            self.halves - first.halves,
        )

    def estimates(self, method: str, confidence: float) -> Estimates:
        """Return all numbers with their intervals."""
        parts = self.resampled.T, self.left_out.T, self.halves.T
        columns = zip(self.whole.tolist(), *parts, strict=True)
        found = [interval(*column, method=method, confidence=confidence) for column in columns]
        count = len(self.names)
        rows = range(count, len(found), len(_PER_CLASS))
        return Estimates(
            dict(zip(self.names, found[:count], strict=True)),
            [
                dict(zip(_PER_CLASS, found[row : row + len(_PER_CLASS)], strict=True))
                for row in rows
            ],
        )


def resample(
    measures: list[Callable[[np.ndarray], WeightedErrors]],
    images: int,
    frequency: list[str] | None,
    resamples: int,
    seed: int,
    groups: int = GROUPS,
    halvings: int = HALVINGS,
) -> list[Samples]:
    """Compute the numbers of several results on the same resamples of the images.

    Args:
        measures: return the errors under weights of the images, one function per result.
        images: how many there are.
        frequency: r, c or f of each category; None without.
        resamples: how many.
        seed: of the random numbers.
        groups: of images, one of which is left out at a time; 0 for no jackknife.
        halvings: random divisions of the images into halves.

    Returns:
        The numbers of each result.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(images)
    parts = np.array_split(order, min(images, groups)) if groups else []

    def drawn() -> Iterator[np.ndarray]:
        for _ in range(resamples):
            yield np.bincount(rng.integers(0, images, images), minlength=images)

    def without_a_group() -> Iterator[np.ndarray]:
        for part in parts:
            weight = np.ones(images, dtype=np.int64)
            weight[part] = 0
            yield weight

    def halves() -> Iterator[np.ndarray]:
        for _ in range(halvings):
            weight = np.zeros(images, dtype=np.int64)
            weight[rng.permutation(images)[: images // 2]] = 1
            yield from (weight, 1 - weight)

    members = frequency_groups(frequency)

    def numbers(weights: Iterator[np.ndarray]) -> Iterator[list[np.ndarray]]:
        for weight in weights:
            yield [_row(measure(weight), members) for measure in measures]

    whole = next(numbers(iter([np.ones(images, dtype=np.int64)])))
    resampled = list(zip(*numbers(drawn()), strict=True))
    nothing: list[Any] = [()] * len(measures)
    left_out = list(zip(*numbers(without_a_group()), strict=True)) or nothing
    halved = list(zip(*numbers(halves()), strict=True)) or nothing
    names = ["AP", "AP50", "AP75", *(f"AP{name}" for name in members)]
    names += ["oLRP", *(f"oLRP{name}" for name in members)]
    return [
        Samples(
            names,
            whole[place],
            np.array(resampled[place]),
            np.array(left_out[place]).reshape(-1, len(whole[place])),
            np.array(halved[place]).reshape(-1, 2, len(whole[place])).mean(axis=1),
        )
        for place in range(len(measures))
    ]


def _row(errors: WeightedErrors, members: dict[str, np.ndarray]) -> np.ndarray:
    """Return the means over the classes, then the numbers of each class."""
    ap = errors.ap.mean(axis=0)
    means = [_mean(ap), _mean(errors.ap[0]), _mean(errors.ap[5])]
    means += [_mean(ap[some]) for some in members.values()]
    means += [_mean(errors.olrp), *(_mean(errors.olrp[some]) for some in members.values())]
    per_class = np.stack([ap, errors.ap[0], errors.ap[5], errors.olrp], axis=1)
    return np.concatenate([means, per_class.ravel()])


def _mean(values: np.ndarray) -> float:
    """Return the mean of those that are defined; NaN if none is."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else np.nan


def interval(
    whole: float,
    resampled: np.ndarray,
    left_out: np.ndarray,
    halves: np.ndarray,
    *,
    method: str,
    confidence: float,
) -> Interval | None:
    """Return the interval of one number.

    Args:
        whole: of the whole data set; NaN if undefined.
        resampled: of each resample [B].
        left_out: with a group of images left out [J].
        halves: means over two halves of the images [H].
        method: "corrected", "bca" or "percentile".
        confidence: of the interval.

    Returns:
        The interval; None if the number is undefined.
    """
    values = resampled[~np.isnan(resampled)]
    if np.isnan(whole) or not len(values):
        return None
    ends = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method != "percentile":
        bias = None
        if method == "corrected":
            some = halves[~np.isnan(halves)]
            bias = float(some.mean() - whole) / _GROWTH if len(some) else 0.0
        ends = _bca_ends(whole, values, left_out[~np.isnan(left_out)], ends, bias)
    low, high = np.quantile(values, ends).tolist()
    error = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return Interval(whole, low, high, error, len(values))


def _bca_ends(
    whole: float,
    values: np.ndarray,
    left_out: np.ndarray,
    ends: np.ndarray,
    bias_of_whole: float | None,
) -> np.ndarray:
    """Return the quantiles to take in place of ``ends`` (Efron, 1987, equation 2.3).

    BCa takes the bias of the resamples twice: they are off from the data set by it, and so, it
    assumes, is the data set from the truth. The second may be given.
    """
    normal = NormalDist()
    # Values that are equal but for rounding count half, as equal ones.
    slack = 1e-12
    below = (values < whole - slack).mean() + (values <= whole + slack).mean()
    half = 0.5 / len(values)
    bias = normal.inv_cdf(min(max(below / 2, half), 1 - half))
    second = bias
    spread_of_values = float(values.std())
    if bias_of_whole is not None and spread_of_values > slack:
        second = float(np.clip(-bias_of_whole / spread_of_values, -_MOST_BIAS, _MOST_BIAS))
    influence = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    spread = float((influence**2).sum()) ** 1.5
    acceleration = float((influence**3).sum()) / (6 * spread) if spread > slack else 0.0
    moved = []
    for end in ends.tolist():
        z = second + normal.inv_cdf(end)
        scale = 1 - acceleration * z
        # Beyond the pole of the transformation there is no quantile but the last one.
        moved.append(normal.cdf(bias + z / scale) if scale > 0 else float(z > 0))
    return np.array(moved)
