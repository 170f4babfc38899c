"""Horizontal bars and dots of all entries, by detector: AP, oLRP, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import INK, SOFT, headline, styled
from rankdet.report.captions import FIGURES
from rankdet.report.layout import NARROW, message_figure
from rankdet.report.names import detector_group, family_rank, loss_color, loss_family
from rankdet.report.results import Result

BAR = 0.36  # inches from one bar to the next
TALL = 0.44  # likewise in the narrow figure, where the name is above the bar
GAP = 0.8  # of a bar, between two detectors
WIDTH = 7.6  # inches of the wide figure
NOTHING = "no results yet"


def by_detector(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return the entries by detector, in the order of the results; those of one by loss."""
    order = dict.fromkeys(detector_group(result.entry) for result in results)
    groups: dict[str, list[Result]] = {group: [] for group in order}
    for result in sorted(results, key=lambda each: family_rank(loss_family(each.entry))):
        groups[detector_group(result.entry)].append(result)
    return groups


def rows_height(results: Sequence[Result], narrow: bool) -> float:
    """Return the inches that a row for each entry and each detector needs."""
    slots = len(results) + GAP * len(by_detector(results))
    return 0.72 + (TALL if narrow else BAR) * max(slots, 3)


def lay_rows(axes: Axes, results: Sequence[Result], narrow: bool) -> list[tuple[float, Result]]:
    """Label a row for each entry by detector; return the place of each row on the y axis."""
    place, rows, names = 0.0, [], []
    for group, members in by_detector(results).items():
        left = axes.get_yaxis_transform()
        text = group if narrow else f" {group}"
        axes.text(0, place, text, transform=left, weight="bold", va="center", fontsize=9)
        place += GAP
        for result in members:
            rows.append((place, result))
            kind = " (masks)" if result.main_iou_type == "segm" else ""
            names.append(f"{loss_family(result.entry)}{kind}")
            place += 1
    for (at, result), name in zip(rows, names, strict=True):
        _label(axes, at, name, result.entry.entry_id, narrow)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    axes.set_ylim(place - 0.3, -0.7)
    return rows


def _label(axes: Axes, place: float, name: str, entry_id: str, narrow: bool) -> None:
    """Write name and id of a row: left of it, or above it in a narrow figure."""
    at: dict[str, Any] = dict(
        xycoords=("axes fraction", "data"), textcoords="offset points", va="center"
    )
    small: dict[str, Any] = dict(**at, ha="right", color=SOFT)
    if narrow:
        axes.annotate(name, (0, place - 0.44), (0, 0), fontsize=8, **at)
        axes.annotate(entry_id, (1, place - 0.44), (0, 0), fontsize=7.5, **small)
    else:
        axes.annotate(name, (0, place), (-3.5, 4.5), ha="right", fontsize=8.5, **at)
        axes.annotate(entry_id, (0, place), (-3.5, -5), fontsize=7, **small)


@styled
def metric_bars(
    results: Sequence[Result],
    metric: str,
    preset: Preset,
    published: Mapping[str, float] | None = None,
    narrow: bool = False,
) -> Figure:
    """Return horizontal bars of ``metric`` in percent, one per entry.

    Args:
        results: the measured results.
        metric: a key of ``metrics.json``, such as AP or oLRP.
        preset: the preset of the results.
        published: values by entry id to mark on the bars; only for preset paper.
        narrow: for a phone.
    """
    title, width = FIGURES[metric.lower()].title, NARROW if narrow else WIDTH
    if not results:
        return message_figure(title, preset.caption, NOTHING, width)
    figure = Figure(figsize=(width, rows_height(results, narrow)))
    axes = figure.subplots()
    headline(figure, title, preset.caption)
    published = published or {}
    ends = [result.metric(result.main_iou_type, metric) or 0 for result in results]
    wide = any(len(result.runs) > 1 for result in results)  # a value with its deviation
    right = (1.25 + 0.15 * wide if narrow else 1.14 + 0.08 * wide) * max(
        *ends, *published.values(), 1
    )
    text = (0.16 if narrow else 0.09) * right  # the width of a value
    for place, result in lay_rows(axes, results, narrow):
        mark = published.get(result.entry.entry_id)
        _bar(axes, place, result, metric, mark, text, 0.42 if narrow else 0.72)
    axes.set_xlim(0, right)
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= min(right, 100)])
    better = "lower is better" if metric.startswith("oLRP") else "higher is better"
    mark_words = "; the mark is the published value" if published else ""
    if narrow:
        mark_words = mark_words.replace("; ", "\n")
    axes.set_xlabel(f"{metric} ×100, {better}{mark_words}")
    axes.spines["left"].set_visible(False)
    return figure


def _bar(
    axes: Axes,
    place: float,
    result: Result,
    metric: str,
    mark: float | None,
    text: float,
    height: float,
) -> None:
    """Draw one bar with its value on the right and the published mark."""
    value = result.metric(result.main_iou_type, metric)
    end = value or 0
    axes.barh(place, end, height=height, color=loss_color(loss_family(result.entry)))
    spread = result.spread(result.main_iou_type, metric)
    if spread is not None:
        axes.errorbar(end, place, xerr=spread, color=INK, elinewidth=1, capsize=2)
        end = end + spread
    if mark is not None:
        half = height / 2 + 0.06
        axes.plot([mark, mark], [place - half, place + half], color=INK, linewidth=1.4)
        if 0 <= mark - end < text:  # the value would stand on the mark
            end = mark
    words = "—" if value is None else f"{value:.1f}"
    words += "" if spread is None else f" ± {spread:.1f}"
    style: dict[str, Any] = dict(textcoords="offset points", va="center")
    axes.annotate(words, (end, place), (4, 0), **style)
