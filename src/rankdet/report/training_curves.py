"""Loss, AP and oLRP by iteration: one column of panels per loss family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import CROWDED, empty, headline, labels, strokes, styled
from rankdet.report.groups import detector_group, family_rank, loss_color, loss_family
from rankdet.report.result_files import PANELS
from rankdet.report.results import Result

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
    families: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda each: family_rank(loss_family(each.entry))):
        if histories[result.entry.entry_id]:
            families.setdefault(loss_family(result.entry), []).append(result)
    columns, rows = max(len(families), 1), max(len(panels), 1)
    most = max(map(len, families.values()), default=0)
    below = 0.15 * most if most > CROWDED else 0.0  # inches of the legends under their columns
    figure = Figure(figsize=(max(2.35 * columns + 0.4, 5.2), 0.38 + 1.9 * rows + below))
    grid = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey=False)
    headline(figure, "Training", preset.caption)
    if not families:
        empty(grid[0, 0], "no training record yet")
        return figure
    order = list(dict.fromkeys(detector_group(result.entry) for result in results))
    for column, (family, members) in enumerate(families.items()):
        members = sorted(members, key=lambda each: order.index(detector_group(each.entry)))
        entries = [result.entry for result in members]
        names, lines = labels(entries, detector_group), strokes(entries, detector_group)
        for row, panel in enumerate(panels):
            axes = grid[row, column]
            for result in members:
                style = {
                    "color": loss_color(family),
                    **lines[result.entry.entry_id],
                    "label": names[result.entry.entry_id],
                }
                _draw(axes, panel, *series(histories[result.entry.entry_id], panel), style)
            if column == 0:
                axes.set_ylabel(_AXIS_LABELS[panel])
            if panel != "loss":
                axes.sharey(grid[row, 0])
        grid[0, column].set_title(family)
        lines, names = grid[0, column].get_legend_handles_labels()
        if below:
            place = dict(loc="upper left", bbox_to_anchor=(-0.15, -0.28))
            grid[-1, column].legend(lines, names, handlelength=2.4, fontsize=7, **place)
        elif names:
            grid[0, column].legend(handlelength=2.4, fontsize=7)
        grid[-1, column].set_xlabel("iteration")
        grid[-1, column].set_xlim(left=0)
    for row, panel in enumerate(panels):
        if panel != "loss":
            grid[row, 0].set_ylim(0, 100 if panel == "oLRP" else None)
    return figure


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
