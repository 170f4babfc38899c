"""The figures in words: what each shows, with its numbers, for those who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rankdet.report.bars import by_detector
from rankdet.report.claims import Point, cost_points, localization, machine_of, published_points
from rankdet.report.curves import (
    METRIC_OF,
    lowest_lrp,
    running_mean,
    series,
    term_title,
    terms_of,
)
from rankdet.report.names import detector_group, loss_family
from rankdet.report.results import Result


def name(result: Result) -> str:
    """Return detector, loss and id of an entry."""
    entry = result.entry
    return f"{detector_group(entry)} with {loss_family(entry)} ({entry.entry_id})"


def _listed(results: Sequence[Result], say: Callable[[Result], str]) -> str:
    """Return a sentence for each entry, by detector; none for those of which nothing is said."""
    ordered = (result for group in by_detector(results).values() for result in group)
    said = ((name(result), say(result)) for result in ordered)
    return " ".join(f"{who}: {what}." for who, what in said if what)


def metric_words(
    results: Sequence[Result], metric: str, published: Mapping[str, float] | None = None
) -> str:
    """Return the values of a metric."""

    def say(result: Result) -> str:
        value = result.metric(result.main_iou_type, metric)
        mark = (published or {}).get(result.entry.entry_id)
        beside = "" if mark is None else f", published {mark:.1f}"
        spread = result.spread(result.main_iou_type, metric)
        several = "" if spread is None else f" ± {spread:.1f} ({len(result.runs)} runs)"
        return f"{metric} {_percent(value)}{several}{beside}"

    return _listed(results, say)


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.1f}"


def _course(rows: list[dict[str, Any]], key: str) -> str:
    """Return first and last value of a running mean; "" without values."""
    _, values = series(rows, key)
    if not len(values):
        return ""
    smooth = running_mean(values, len(values) // 50)
    return f"{smooth[0]:.3g} to {smooth[-1]:.3g}"


def training_words(results: Sequence[Result]) -> str:
    """Return the loss at both ends of each training, and the last validation."""

    def say(result: Result) -> str:
        rows = result.training()
        parts = [f"loss {_course(rows, 'loss')}"] if _course(rows, "loss") else []
        for metric in ("AP", "oLRP"):
            values = series(rows, metric)[1]
            if len(values):
                parts.append(f"last {metric} {100 * values[-1]:.1f}")
        last = max((row["iteration"] for row in rows), default=0)
        return f"{', '.join(parts)}, at iteration {last}" if parts else ""

    return _listed(results, say)


def terms_words(results: Sequence[Result]) -> str:
    """Return each loss term and weight at both ends of each training."""

    def say(result: Result) -> str:
        rows = result.training()
        said = [(term_title(term), _course(rows, term)) for term in terms_of(rows)]
        return ", ".join(f"{term} {course}" for term, course in said if course)

    return _listed(results, say)


def precision_words(results: Sequence[Result]) -> str:
    """Return the areas below the curves."""

    def say(result: Result) -> str:
        if "precision" not in result.curves():
            return ""
        values = {each: result.metric(result.main_iou_type, each) for each in METRIC_OF.values()}
        return ", ".join(f"{metric} {_percent(value)}" for metric, value in values.items())

    return _listed(results, say)


def lrp_words(results: Sequence[Result]) -> str:
    """Return the lowest point of each curve."""

    def say(result: Result) -> str:
        if "LRP" not in result.curves():
            return ""
        score, error = lowest_lrp(result)
        return f"lowest LRP {100 * error:.1f} at score {score:.2f}"

    return _listed(results, say)


def correlation_words(results: Sequence[Result]) -> str:
    """Return the correlations, and the mean IoU of the lowest and highest scores."""

    def say(result: Result) -> str:
        part = localization(result)
        if not part:
            return ""
        values = ", ".join(
            f"{label} {'undefined' if part[key] is None else format(part[key], '.2f')}"
            for label, key in (("Pearson", "pearson"), ("Spearman", "spearman"))
        )
        overlaps = part["bins"]["IoU"]
        return (
            f"{values} over {part['true_positives']} true positives, mean IoU {overlaps[0]:.2f} at "
            f"the lowest scores and {overlaps[-1]:.2f} at the highest"
        )

    return _listed(results, say)


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{name(point.result)}: {point.words}." for point in points)


def published_words(results: Sequence[Result], published: Mapping[str, float] | None) -> str:
    """Return published and reproduced AP, and how far they are apart."""
    points = published_points(results, published or {})
    if not points:
        return ""
    apart = np.array([point.y - point.x for point in points])
    largest = apart[np.argmax(np.abs(apart))]
    return f"Published AP. {_points(points)} Largest difference: {largest:+.1f}."


def cost_words(results: Sequence[Result]) -> str:
    """Return AP and time of each training, and the machine."""
    points = cost_points(results)
    machine = machine_of([point.result for point in points])
    return f"{_points(points)} {machine}".strip()
