"""Figures in two widths: blocks of panels with their legends below, and points with numbers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from rankdet.report.canvas import SOFT, headline, settle

WIDE, NARROW = 9.4, 3.6  # inches; the page shows the narrow figure on a phone
LINE = 0.155  # inches from one line of a legend to the next
LETTER = 0.058  # inches of an average letter of a legend
LINE_HANDLE, MARKER_HANDLE = 0.62, 0.4  # inches of its sample and the spaces around

# A legend text and the properties of its line or marker.
Key = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Panel:
    """One plot: its texts, and what draws into it."""

    title: str
    xlabel: str
    ylabel: str
    draw: Callable[[Axes], None]


@dataclass(frozen=True)
class Block:
    """Panels under one title, with one legend below them, which covers no curve."""

    title: str
    panels: Sequence[Panel]
    keys: Sequence[Key]


@dataclass(frozen=True)
class Grid:
    """How blocks are placed.

    Attributes:
        width: of all in inches.
        columns: blocks side by side.
        across: panels of a block side by side.
        height: of a panel in inches.
    """

    width: float
    columns: int
    across: int
    height: float

    def block_height(self, block: Block) -> float:
        """Return the inches of a block with its title and legend."""
        rows = -(-len(block.panels) // self.across)
        return 0.3 + self.height * rows + self.legend(block)[1]

    def legend(self, block: Block) -> tuple[int, float]:
        """Return the columns of a block's legend, and its height in inches."""
        return legend_size(block.keys, self.width / self.columns)

    def heights(self, blocks: Sequence[Block]) -> list[float]:
        """Return the inches of each row of blocks."""
        tall = [self.block_height(block) for block in blocks]
        return [max(tall[row : row + self.columns]) for row in range(0, len(tall), self.columns)]


def legend_size(keys: Sequence[Key], width: float) -> tuple[int, float]:
    """Return the columns and the height of a legend that is at most ``width`` inches wide."""
    if not keys:
        return 1, 0.0
    lines = [label.split("\n") for label, _ in keys]
    longest = LETTER * max(len(line) for each in lines for line in each)
    columns = int((width - 0.2) / (_handle(keys) + longest))
    columns = max(1, min(len(keys), columns))
    rows = -(-len(keys) // columns)
    columns = -(-len(keys) // rows)
    counts = [len(each) for each in lines]
    most = max(sum(counts[start : start + rows]) for start in range(0, len(counts), rows))
    return columns, LINE * most + 0.12


def _handle(keys: Sequence[Key]) -> float:
    has_lines = any(style.get("linestyle") != "none" for _, style in keys)
    return LINE_HANDLE if has_lines else MARKER_HANDLE


def legend_below(parent: Figure | SubFigure, keys: Sequence[Key], columns: int) -> None:
    """Place a legend below all axes of a figure or a part of it."""
    if not keys:
        return
    lines = [Line2D([], [], **style) for _, style in keys]
    parent.legend(
        lines,
        [label for label, _ in keys],
        loc="outside lower left",
        ncols=columns,
        handlelength=2.6 if _handle(keys) == LINE_HANDLE else 1.0,
        columnspacing=1.4,
        labelspacing=0.35,
        borderpad=0.2,
        fontsize=7.5,
    )


def blocks_figure(
    title: str, subtitle: str, blocks: Sequence[Block], grid: Grid, reason: str
) -> Figure:
    """Return a figure of blocks; without any, of one panel with the reason."""
    if not blocks:
        return message_figure(title, subtitle, reason, grid.width)
    figure = Figure(figsize=(grid.width, sum(grid.heights(blocks))))
    headline(figure, title, subtitle)
    draw_blocks(figure, blocks, grid)
    return figure


def message_figure(title: str, subtitle: str, reason: str, width: float) -> Figure:
    """Return a figure that only says why it is empty."""
    lines = textwrap.wrap(reason, int((width - 0.4) / 0.08))
    figure = Figure(figsize=(width, 0.3 + 0.18 * len(lines)))
    axes = figure.subplots()
    headline(figure, title, subtitle)
    axes.set_axis_off()
    axes.text(0, 0.5, "\n".join(lines), va="center", color=SOFT, transform=axes.transAxes)
    return figure


def draw_blocks(parent: Figure | SubFigure, blocks: Sequence[Block], grid: Grid) -> None:
    """Draw blocks row by row."""
    heights = grid.heights(blocks)
    shape = len(heights), grid.columns
    parts = parent.subfigures(*shape, squeeze=False, height_ratios=heights).flat
    for place, (part, block) in enumerate(zip(parts, blocks, strict=False)):
        own, row = grid.block_height(block), heights[place // grid.columns]
        if row - own > 0.05:  # beside a longer legend: all panels are equally high
            part = part.subfigures(2, 1, height_ratios=[own, row - own])[0]
        _draw_block(part, block, grid)


def _draw_block(part: SubFigure, block: Block, grid: Grid) -> None:
    rows, across = -(-len(block.panels) // grid.across), grid.across
    part.suptitle(block.title, x=0.0, ha="left", fontsize=9.5, weight="bold")
    every = list(part.subplots(rows, across, squeeze=False).flat)
    for axes, panel in zip(every, block.panels, strict=False):
        panel.draw(axes)
        axes.set_title(panel.title, fontsize=8.5, weight="normal", color=SOFT)
        axes.set_xlabel(panel.xlabel, fontsize=8)
        axes.set_ylabel(panel.ylabel, fontsize=8)
    for axes in every[len(block.panels) :]:
        axes.set_axis_off()
    legend_below(part, block.keys, grid.legend(block)[0])


# Offsets of a number from its point, in points: the first that is free is taken.
_PLACES = [
    (radius * math.cos(angle), radius * math.sin(angle))
    for radius in (9.0, 14.0, 20.0, 27.0, 35.0)
    for angle in np.pi * np.array([1, 3, 7, 5, 0, 4, 2, 6]) / 4
]


def number_points(figure: Figure, axes: Axes, points: np.ndarray) -> list[Annotation]:
    """Number points from 1; no number covers a point or another number as long as there is space.

    Args:
        figure: with its final size and texts, apart from these.
        axes: with its final limits.
        points: in data coordinates [N, 2].
    """
    settle(figure)  # the layout decides where the points are
    scale = 72 / figure.dpi
    spots = np.round(axes.transData.transform(points) * scale, 6)
    low, high = np.array(axes.bbox.min) * scale, np.array(axes.bbox.max) * scale
    taken: list[np.ndarray] = []
    made = []
    for number, (spot, point) in enumerate(zip(spots, points, strict=True), start=1):
        half = np.array([2.4 * len(str(number)) + 0.6, 4.2])
        offset = _free_place(spot, half, spots, taken, (low, high))
        taken.append(np.concatenate([spot + offset, half]))
        line = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
        made.append(
            axes.annotate(
                str(number),
                point,
                offset,
                textcoords="offset points",
                ha="center",
                va="center",
                fontsize=7.5,
                arrowprops=line if np.hypot(*offset) > 12 else None,
            )
        )
        made[-1].set_in_layout(False)
    return made


def _free_place(
    spot: np.ndarray,
    half: np.ndarray,
    spots: np.ndarray,
    taken: Iterable[np.ndarray],
    limits: tuple[np.ndarray, np.ndarray],
) -> tuple[float, float]:
    """Return the first offset where a text covers nothing, or else the nearest one."""
    others = np.array(list(taken)).reshape(-1, 4)
    for offset in _PLACES:
        center = spot + offset
        apart = np.abs(others[:, :2] - center) >= others[:, 2:] + half
        clear = np.abs(spots - center) >= half + 3.2
        inside = (center - half >= limits[0]).all() and (center + half <= limits[1]).all()
        if inside and apart.any(axis=1).all() and clear.any(axis=1).all():
            return offset
    return _PLACES[0]
