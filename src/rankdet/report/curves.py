"""Curves of a detector (precision, LRP error) and of its training (loss, AP, oLRP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue import Entry
from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import CROWDED, empty, headline, labels, strokes, styled
from rankdet.report.names import detector_group, family_rank, loss_color, loss_family
from rankdet.report.results import PANELS, Result

ROW = 2.35  # inches of a row of plots
THRESHOLDS = {"0.50": "IoU 0.50", "0.75": "IoU 0.75", "mean": "mean over IoU 0.50 to 0.95"}
_METRIC_OF = {"0.50": "AP50", "0.75": "AP75", "mean": "AP"}


def _by_detector(results: Sequence[Result], key: str) -> dict[str, list[Result]]:
    """Return the entries whose curves have ``key``, by detector, in the order of the legends."""
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda each: family_rank(loss_family(each.entry))):
        if key in result.curves():  # missing if the data set has no annotations
            groups.setdefault(detector_group(result.entry), []).append(result)
    order = list(dict.fromkeys(detector_group(result.entry) for result in results))
    return dict(sorted(groups.items(), key=lambda item: order.index(item[0])))


def _points(result: Result, x: str, y: str, part: str | None = None) -> tuple[np.ndarray, ...]:
    curves = result.curves()
    values = curves[y] if part is None else curves[y].get(part, [])
    # The file was checked for equal lengths; a missing threshold has no points.
    horizontal = curves[x] if values else []
    return np.array(horizontal, float), np.array(values, float)


def _caption(results: Sequence[Result], key: str, preset: Preset) -> str:
    """Return the caption; it names entries without curves, whose data set has no annotations."""
    without = [each.entry.entry_id for each in results if key not in each.curves()]
    if not without or len(without) == len(results):
        return preset.caption
    return f"{preset.caption} Without curves: {', '.join(without)}."


def _legend(members: list[Result]) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Return texts and line properties by entry id; entries of one loss have different dashes."""
    families: dict[str, list[Entry]] = {}
    for result in members:
        families.setdefault(loss_family(result.entry), []).append(result.entry)
    lines = {
        entry_id: {"color": loss_color(family), **stroke}
        for family, entries in families.items()
        for entry_id, stroke in strokes(entries, lambda entry: entry.entry_id).items()
    }
    return labels(result.entry for result in members), lines


def _below(members: list[Result]) -> float:
    """Return the inches that a legend takes below its plot; 0 if it fits inside the plot."""
    return 0.17 * (len(members) + 1) if len(members) > CROWDED else 0.0


@styled
def precision_recall_curves(results: Sequence[Result], preset: Preset) -> Figure:
    """Return precision over recall, mean over classes: a row per detector, a column per IoU."""
    groups = _by_detector(results, "precision")
    rows = max(len(groups), 1)
    heights = [ROW + _below(members) for members in groups.values()] or [ROW]
    figure = Figure(figsize=(9.4, 0.35 + sum(heights)))
    grid = figure.subplots(
        rows, len(THRESHOLDS), squeeze=False, sharex=True, sharey=True, height_ratios=heights
    )
    headline(
        figure,
        "Precision and recall, mean over classes",
        _caption(results, "precision", preset),
    )
    if not groups:
        for axes in grid[0]:
            empty(axes, "no curves yet")
        return figure
    for row, (group, members) in enumerate(groups.items()):
        names, lines = _legend(members)
        for column, (threshold, words) in enumerate(THRESHOLDS.items()):
            axes = grid[row, column]
            for result in members:
                value = result.metric(result.main_iou_type, _METRIC_OF[threshold])
                figure_of = "" if value is None else f"  {value:.1f}"
                axes.plot(
                    *_points(result, "recall", "precision", threshold),
                    **lines[result.entry.entry_id],
                    label=f"{names[result.entry.entry_id]}{figure_of}",
                )
            axes.set_title(f"{group}, {words}" if column == 0 else words)
            place = {}
            if _below(members):  # the last row has its axis there
                place = dict(loc="upper left", bbox_to_anchor=(0, -0.25 if row == rows - 1 else 0))
            legend = axes.legend(title=_METRIC_OF[threshold], fontsize=7, title_fontsize=7, **place)
            legend.set_alignment("left")
        grid[row, 0].set_ylabel("precision")
    for axes in grid[-1]:
        axes.set_xlabel("recall")
    grid[0, 0].set_xlim(0, 1)
    grid[0, 0].set_ylim(0, 1.02)
    return figure


@styled
def lrp_curves(results: Sequence[Result], preset: Preset) -> Figure:
    """Return the LRP error over one score threshold common to all classes; a panel per detector.

    The dot is the lowest point of the curve. oLRP is at or below it, since it uses the best
    threshold of each class.
    """
    groups = _by_detector(results, "LRP")
    columns = min(max(len(groups), 1), 3)
    rows = -(-max(len(groups), 1) // columns)
    figure = Figure(figsize=(max(3.1 * columns + 0.3, 5.2), 0.35 + 2.6 * rows))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    headline(
        figure,
        "LRP error by score threshold, mean over classes",
        _caption(results, "LRP", preset),
    )
    panels = list(grid.flat)
    if not groups:
        empty(panels[0], "no curves yet")
        return figure
    for axes, (group, members) in zip(panels, groups.items(), strict=False):
        names, lines = _legend(members)
        for result in members:
            scores, errors = _points(result, "score", "LRP")
            line = lines[result.entry.entry_id]
            axes.plot(scores, 100 * errors, **line, label=names[result.entry.entry_id])
            if errors.size:
                best = int(np.argmin(errors))
                axes.plot(scores[best], 100 * errors[best], "o", color=line["color"], markersize=4)
        axes.set_title(group)
        axes.legend(fontsize=7)
        axes.set_xlabel("score threshold")
        axes.tick_params(labelbottom=True)  # the panel below it may be missing
    for axes in panels[len(groups) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("LRP ×100, lower is better")
    grid[0, 0].set_xlim(0, 1)
    grid[0, 0].set_ylim(None, 101)
    return figure


POINTS = 600  # per line; more are not visible and would make the files huge
DIVERGED = 1e30  # larger losses are gaps like inf: their sums would overflow
_AXIS_LABELS = {"loss": "training loss", "AP": "AP ×100", "oLRP": "oLRP ×100"}

Points = tuple[np.ndarray, np.ndarray]


def series(rows: list[dict[str, Any]], key: str) -> Points:
    """Return ``(iterations, values)`` of the lines with a ``key`` that can be drawn."""
    pairs = [
        (row["iteration"], float(row[key]))
        for row in rows
        if isinstance(row.get(key), int | float) and abs(row[key]) < DIVERGED
    ]
    points = np.array(pairs, dtype=float).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean over a centered window that shrinks at both ends."""
    if width < 2 or len(values) < 2:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low = np.maximum(places - width // 2, 0)
    high = np.minimum(places + width // 2 + 1, len(values))
    means: np.ndarray = (sums[high] - sums[low]) / (high - low)
    return means


@styled
def training_curves(results: Sequence[Result], preset: Preset) -> Figure:
    """Return a grid of panels: rows loss, AP, oLRP; one column per loss family.

    The loss is a running mean over 1/50 of the run, with the single iterations in the background.
    A panel row without data is omitted.
    """
    histories = {result.entry.entry_id: result.training() for result in results}
    panels = [
        panel for panel in PANELS if any(len(series(rows, panel)[0]) for rows in histories.values())
    ]
    families: dict[str, list[Entry]] = {}
    for result in sorted(results, key=lambda each: family_rank(loss_family(each.entry))):
        if histories[result.entry.entry_id]:
            families.setdefault(loss_family(result.entry), []).append(result.entry)
    columns, rows = max(len(families), 1), max(len(panels), 1)
    most = max(map(len, families.values()), default=0)
    below = 0.15 * most if most > CROWDED else 0.0  # inches of the legends under their columns
    figure = Figure(figsize=(max(2.35 * columns + 0.4, 5.2), 0.38 + 1.9 * rows + below))
    grid = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey=False)
    headline(figure, "Training", preset.caption)
    if not families:
        empty(grid[0, 0], "no training record yet")
        return figure
    _label_rows(grid, panels)
    order = list(dict.fromkeys(detector_group(result.entry) for result in results))
    for column, (family, entries) in enumerate(families.items()):
        entries = sorted(entries, key=lambda each: order.index(detector_group(each)))
        styles = _styles(entries, loss_color(family))
        for axes, panel in zip(grid[:, column], panels, strict=True):
            for entry, style in styles.items():
                _draw(axes, panel, *series(histories[entry], panel), style)
        grid[0, column].set_title(family)
        _column_legend(grid[:, column], is_below=bool(below))
        grid[-1, column].set_xlabel("iteration")
        grid[-1, column].set_xlim(left=0)
    for row, panel in enumerate(panels):
        if panel != "loss":
            grid[row, 0].set_ylim(0, 100 if panel == "oLRP" else None)
    return figure


def _styles(entries: Sequence[Entry], color: str) -> dict[str, dict[str, Any]]:
    """Return color, line and name of each entry of one column, by id."""
    names, lines = labels(entries, detector_group), strokes(entries, detector_group)
    ids = [entry.entry_id for entry in entries]
    return {each: {"color": color, **lines[each], "label": names[each]} for each in ids}


def _column_legend(column: np.ndarray, *, is_below: bool) -> None:
    lines, names = column[0].get_legend_handles_labels()
    if is_below:
        place = dict(loc="upper left", bbox_to_anchor=(-0.15, -0.28))
        column[-1].legend(lines, names, handlelength=2.4, fontsize=7, **place)
    elif names:
        column[0].legend(handlelength=2.4, fontsize=7)


def _label_rows(grid: np.ndarray, panels: Sequence[str]) -> None:
    """Name the rows; those of AP and of oLRP get one scale, which later curves extend."""
    for row, panel in enumerate(panels):
        grid[row, 0].set_ylabel(_AXIS_LABELS[panel])
        if panel != "loss":
            for axes in grid[row, 1:]:
                axes.sharey(grid[row, 0])


def _draw(
    axes: Axes, panel: str, iterations: np.ndarray, values: np.ndarray, style: dict[str, Any]
) -> None:
    if not len(values):
        return
    if panel != "loss":
        axes.plot(iterations, 100 * values, marker="o", markersize=2.4, **style)
        return
    smooth = running_mean(values, len(values) // 50)
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), POINTS)).astype(int))
    iterations, values, smooth = iterations[kept], values[kept], smooth[kept]
    axes.plot(iterations, values, color=style["color"], alpha=0.22, linewidth=0.6)
    axes.plot(iterations, smooth, **style)
    # The first iterations may be many times the rest; the curve is what is to be seen.
    top = 1.12 * float(np.max(smooth[len(smooth) // 20 :]))
    lowest, highest = axes.get_ylim() if axes.get_autoscaley_on() is False else (0.0, 0.0)
    axes.set_ylim(min(0.0, lowest, float(smooth.min())), max(highest, top) or 1.0)
