"""Reliability diagram of a calibration: what scores promise against what is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from rankdet.evaluation.calibration import Bins
from rankdet.report.canvas import INK, SOFT, empty, headline, styled, write_figure
from rankdet.report.names import printable

STEM, TITLE = "reliability", "Reliability of the scores"
COLORS = {"before": "#d55e00", "after": "#0072b2"}
TARGETS = {"iou": "mean IoU with the object", "precision": "precision at IoU 0.5"}


@styled
def figure(parts: dict[str, Bins], target: str, caption: str) -> Figure:
    """Return the diagram: a column for each of "before" and "after", counts below.

    Args:
        parts: the bins of the detections of all classes.
        target: what the scores predict, "iou" or "precision".
        caption: the data and the method, in words.
    """
    drawn = Figure(figsize=(7.4, 4.5))
    grid = drawn.subplots(2, len(parts), sharex=True, sharey="row", height_ratios=[3, 1])
    headline(drawn, TITLE, caption)
    for column, (name, bins) in enumerate(parts.items()):
        above, below = grid[:, column]
        _diagram(above, bins, name)
        _counts(below, bins, name)
    grid[0, 0].set_ylabel(TARGETS[target])
    grid[1, 0].set_ylabel("detections")
    return drawn


def _diagram(axes: Axes, bins: Bins, name: str) -> None:
    if not bins.count.sum():
        empty(axes, "no detections")
        return
    kept = bins.count > 0
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    for score, value in zip(bins.score[kept], bins.target[kept], strict=True):
        axes.plot([score, score], [score, value], color=COLORS[name], linewidth=1, alpha=0.45)
    axes.plot(bins.score[kept], bins.target[kept], "o-", color=COLORS[name], markersize=4)
    axes.set_title(f"{name}: mean gap {100 * bins.error:.1f}")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


def _counts(axes: Axes, bins: Bins, name: str) -> None:
    edges = np.linspace(0, 1, len(bins.count) + 1)
    axes.bar(
        edges[:-1],
        bins.count,
        width=edges[1],
        align="edge",
        color=COLORS[name],
        edgecolor=SOFT,
        linewidth=0.4,
    )
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("score")


def write(parts: dict[str, Bins], target: str, caption: str, folder: str | Path) -> list[Path]:
    """Write ``reliability.svg`` and ``.png`` into ``folder``; return the paths."""
    drawn = figure(parts, target, caption)
    return write_figure(drawn, folder, STEM, TITLE, words(parts, target, caption))


def words(parts: dict[str, Bins], target: str, caption: str) -> str:
    """Return the diagram in words: the mean gap, and each bin that has detections."""
    said = [caption]
    for name, bins in parts.items():
        kept = bins.count > 0
        if not kept.any():
            said.append(f"{name}: no detections.")
            continue
        pairs = zip(bins.score[kept], bins.target[kept], strict=True)
        points = ", ".join(f"{score:.2f}: {value:.2f}" for score, value in pairs)
        total, gap = int(bins.count.sum()), 100 * bins.error
        said.append(
            f"{name}: mean gap {gap:.1f} over {total} detections. "
            f"Mean score and {TARGETS[target]}: {points}."
        )
    return printable(" ".join(said))
