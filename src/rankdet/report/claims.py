"""What the papers claim, as figures: score and IoU, published values, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue.presets import Preset
from rankdet.report.bars import NOTHING, WIDTH, by_detector, lay_rows, rows_height
from rankdet.report.canvas import MARKERS, SOFT, headline, styled
from rankdet.report.captions import FIGURES
from rankdet.report.curves import by_loss, caption, grouped, lines_of
from rankdet.report.layout import (
    NARROW,
    Block,
    Grid,
    Key,
    Panel,
    draw_blocks,
    legend_below,
    legend_size,
    message_figure,
    number_points,
)
from rankdet.report.names import detector_group, loss_color, loss_family, printable
from rankdet.report.results import Result
from rankdet.report.verdicts import TOLERANCE_AP
from rankdet.times import duration

EVALUATE_AGAIN = "no correlations yet: evaluate the entries again with this version"


def localization(result: Result) -> dict[str, Any]:
    """Return the part of ``curves.json`` about score and IoU; {} if an older version wrote it."""
    found = result.curves().get("localization")
    return found if found and found["true_positives"] else {}


@styled
def correlation_figure(results: Sequence[Result], preset: Preset, narrow: bool = False) -> Figure:
    """Return the correlations of each entry, and below the mean IoU by score for each detector."""
    found = [result for result in results if localization(result)]
    title, width = FIGURES["correlation"].title, NARROW if narrow else WIDTH
    if not found:
        return message_figure(title, preset.caption, EVALUATE_AGAIN if results else NOTHING, width)
    blocks = [
        Block(
            group,
            [Panel("", "score, lowest to highest tenth", "mean IoU", _quality(members))],
            by_loss(members),
        )
        for group, members in grouped(found, "localization").items()
    ]
    grid = Grid(width, 1 if narrow else 2, 1, 1.9)
    heights = [rows_height(found, narrow) + 0.3, sum(grid.heights(blocks))]
    figure = Figure(figsize=(width, sum(heights)))
    headline(figure, title, caption(results, "localization", preset))
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    _correlations(above.subplots(), found, narrow)
    ends: list[Key] = [
        ("Pearson", {"marker": "o", "color": SOFT, "linestyle": "none"}),
        ("Spearman", {**_OPEN, "color": SOFT, "linestyle": "none"}),
    ]
    legend_below(above, ends, 2)
    draw_blocks(below, blocks, grid)
    return figure


_OPEN: dict[str, Any] = {"marker": "D", "markerfacecolor": "none", "markersize": 6.5}


def _correlations(axes: Axes, results: Sequence[Result], narrow: bool) -> None:
    every = [0.0, 0.1]
    marks: tuple[dict[str, Any], ...] = ({"marker": "o", "markersize": 5}, _OPEN)
    for place, result in lay_rows(axes, results, narrow):
        part, color = localization(result), loss_color(loss_family(result.entry))
        values = [part[name] for name in ("pearson", "spearman")]
        known = [value for value in values if value is not None]
        for value, mark in zip(values, marks, strict=True):
            if value is not None:
                axes.plot(value, place, color=color, linestyle="none", **mark)
        every += known
        text = " / ".join("—" if value is None else f"{value:.2f}" for value in values)
        at = max(known, default=0.0), place
        axes.annotate(text, at, (8, 0), textcoords="offset points", va="center", fontsize=8)
    low, high = min(every), max(every)
    space = high - low
    axes.set_xlim(low - 0.05 * space, high + (0.42 if narrow else 0.2) * space)
    axes.set_xticks([tick for tick in axes.get_xticks() if -1 <= tick <= 1])
    axes.set_xlim(low - 0.05 * space, high + (0.42 if narrow else 0.2) * space)
    axes.axvline(0, color=SOFT, linewidth=0.7)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("correlation of score and IoU, higher is better")


def _quality(members: Sequence[Result]) -> Any:
    lines = lines_of(members)

    def draw(axes: Axes) -> None:
        for result in members:
            count, iou = (np.array(localization(result)["bins"][key]) for key in ("count", "IoU"))
            places = (np.cumsum(count) - count / 2) / max(count.sum(), 1)
            line = lines[result.entry.entry_id]
            axes.plot(100 * places, iou, **{"marker": "o", "markersize": 2.6, **line})
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_formatter("{x:.0f}%")
        axes.set_ylim(0.5, 1)

    return draw


@dataclass(frozen=True)
class Point:
    """One entry in a scatter plot."""

    result: Result
    x: float
    y: float
    words: str


def _name(result: Result) -> str:
    return f"{detector_group(result.entry)}, {loss_family(result.entry)}"


def _scatter(
    title: str, subtitle: str, points: Sequence[Point], narrow: bool
) -> tuple[Figure, Axes, np.ndarray]:
    """Return a figure with numbered points and the legend of the numbers; and its coordinates."""
    width = NARROW if narrow else WIDTH
    markers = dict.fromkeys(detector_group(point.result.entry) for point in points)
    shapes = {group: MARKERS[place % len(MARKERS)] for place, group in enumerate(markers)}
    keys: list[Key] = []
    between = "\n" if narrow else ": "
    names = [_name(point.result) for point in points]
    for number, (point, name) in enumerate(zip(points, names, strict=True), start=1):
        entry = point.result.entry
        if names.count(name) > 1:
            name = f"{name}\n{entry.entry_id}" if narrow else entry.entry_id
        style: dict[str, Any] = {
            "marker": shapes[detector_group(entry)],
            "color": loss_color(loss_family(entry)),
            "linestyle": "none",
            "markersize": 5.5,
        }
        keys.append((f"{number}  {name}{between}{point.words}", style))
    columns, below = legend_size(keys, width)
    figure = Figure(figsize=(width, (2.9 if narrow else 4.2) + below))
    axes = figure.subplots()
    headline(figure, title, subtitle)
    for point, (_, style) in zip(points, keys, strict=True):
        axes.plot(point.x, point.y, **style)
    legend_below(figure, keys, columns)
    return figure, axes, np.array([(point.x, point.y) for point in points])


def published_points(results: Sequence[Result], published: Mapping[str, float]) -> list[Point]:
    """Return the entries with a published and a reproduced AP."""
    points = []
    for result in (each for group in by_detector(results).values() for each in group):
        value = published.get(result.entry.entry_id)
        own = result.metric(result.main_iou_type, "AP")
        if value is None or own is None:
            continue
        spread = result.spread(result.main_iou_type, "AP")
        error = "" if spread is None else f" ± {spread:.1f}"
        points.append(Point(result, value, own, f"{value:.1f}, here {own:.1f}{error}"))
    return points


@styled
def published_figure(
    results: Sequence[Result],
    preset: Preset,
    published: Mapping[str, float] | None,
    narrow: bool = False,
) -> Figure:
    """Return reproduced over published AP with the identity line.

    Args:
        results: the measured results.
        preset: of the results.
        published: published AP by entry id of the comparable rows; None if the preset has none.
        narrow: for a phone.
    """
    title = FIGURES["published"].title
    points = published_points(results, published or {})
    if not points:
        reason = why_unpublished(results, preset)
        return message_figure(title, preset.caption, reason, NARROW if narrow else WIDTH)
    figure, axes, places = _scatter(title, preset.caption, points, narrow)
    ends = [point.result.spread(point.result.main_iou_type, "AP") or 0.0 for point in points]
    low = np.floor(min(places.min(), (places[:, 1] - ends).min()) - 1)
    high = np.ceil(max(places.max(), (places[:, 1] + ends).max()) + 1)
    line = np.array([low, high])
    axes.fill_between(line, line - TOLERANCE_AP, line + TOLERANCE_AP, color=SOFT, alpha=0.25, lw=0)
    axes.plot(line, line, color=SOFT, linewidth=0.8)
    for point, end in zip(points, ends, strict=True):
        if end:
            color = loss_color(loss_family(point.result.entry))
            axes.errorbar(point.x, point.y, end, color=color, capsize=2.5, linewidth=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xlabel("published AP ×100")
    axes.set_ylabel("reproduced AP ×100")
    number_points(figure, axes, places)
    return figure


def why_unpublished(results: Sequence[Result], preset: Preset) -> str:
    """Return why no published value can be compared."""
    if preset.not_comparable:
        why = preset.not_comparable
        return f"preset {preset.name} is not comparable with published values: {why}"
    return "no result is comparable with a published value" if results else NOTHING


def cost_points(results: Sequence[Result]) -> list[Point]:
    """Return the entries with a measured time and an AP; the time in seconds."""
    points = []
    for result in (each for group in by_detector(results).values() for each in group):
        seconds, each = result.run.get("seconds"), result.first.seconds_per_iteration
        own = result.metric(result.main_iou_type, "AP")
        if not seconds or own is None:
            continue
        rate = f", {each:.2f} s per iteration" if each else ""
        said = f"AP {own:.1f}, {duration(seconds)}{rate}"
        points.append(Point(result, float(seconds), own, said))
    return points


def machine_of(results: Sequence[Result]) -> str:
    """Return on which machine all were trained, or that there were several; "" if unknown."""
    found = set()
    for result in results:
        machine = result.run.get("machine")
        machine = machine if isinstance(machine, Mapping) else {}
        parts = [machine.get("gpu") or machine.get("cpu")]
        if not machine.get("gpu") and machine.get("cores"):
            parts.append(f"{machine['cores']} cores")
        found.add(", ".join(printable(part) for part in parts if part))
    found.discard("")
    if len(found) > 1:
        return f"Times of {len(found)} machines, not of one: compare them with care."
    return f"Machine: {found.pop()}." if found else ""


@styled
def cost_figure(results: Sequence[Result], preset: Preset, narrow: bool = False) -> Figure:
    """Return AP over the measured time of the training."""
    title = FIGURES["cost"].title
    points = cost_points(results)
    if not points:
        reason = why_free(results, preset)
        return message_figure(title, preset.caption, reason, NARROW if narrow else WIDTH)
    subtitle = f"{preset.caption} {machine_of([point.result for point in points])}".strip()
    longest = max(point.x for point in points)
    unit, size = next(each for each in _UNITS if longest >= each[1] or each[1] == 1)
    points = [Point(each.result, each.x / size, each.y, each.words) for each in points]
    figure, axes, places = _scatter(title, subtitle, points, narrow)
    least, most = places[:, 0].min(), places[:, 0].max()
    if most > 20 * least:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.6, most * 1.6)
    else:
        axes.set_xlim(0, 1.12 * most)
    span = max(np.ptp(places[:, 1]), 1.0)
    low = max(places[:, 1].min() - 0.15 * span, -0.05 * span)
    axes.set_ylim(low, places[:, 1].max() + 0.15 * span)
    axes.set_xlabel(f"training time in {unit}")
    axes.set_ylabel("AP ×100")
    number_points(figure, axes, places)
    return figure


_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def why_free(results: Sequence[Result], preset: Preset) -> str:
    """Return why no training time is known."""
    if not preset.trains:
        return f"preset {preset.name} trains nothing: there is no time"
    return "no training time was recorded" if results else NOTHING
