"""A search in one figure: rewards by round; initial, found and published functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rankdet.report.canvas import SOFT, headline, styled
from rankdet.report.search_table import FUNCTIONS, SOURCES, heads_by_source, note

FOUND = "#0b6fb8"
LINES: dict[str, dict[str, Any]] = {
    "start": {"color": SOFT, "linestyle": (0, (1.2, 1.4)), "linewidth": 1.0},
    "published": {"color": "#b3541e", "linestyle": (0, (5, 1.6)), "linewidth": 1.2},
    "mean": {"color": FOUND, "linestyle": (0, (5, 1.4, 1.2, 1.4)), "linewidth": 1.2},
    "best": {"color": FOUND, "linestyle": "-", "linewidth": 1.8},
}
_ARGUMENTS = {"H": "score difference", "I": "quality"}


@styled
def search_figure(found: dict[str, Any]) -> Figure:
    """Return the figure of a finished search.

    Args:
        found: the content of ``found.json``.
    """
    heads = list(found["start"])
    rows = 1 + len(heads)
    figure = Figure(figsize=(9.2, 2.3 + 2.1 * len(heads)))
    grid = figure.add_gridspec(rows, len(FUNCTIONS))
    headline(figure, f"Search {found['plan']['name']}", note(found))
    _rewards(figure.add_subplot(grid[0, :]), found["rounds"])
    sources = heads_by_source(found)
    for row, head in enumerate(heads, start=1):
        for column, function in enumerate(FUNCTIONS):
            axes = figure.add_subplot(grid[row, column])
            for source, style in LINES.items():
                points = sources[source][head]["control_points"]
                if column < len(points):
                    x, y = points[column][::2], points[column][1::2]
                    axes.plot(x, y, label=SOURCES[source], **style)
            axes.set_title(f"{head} {function}" if len(heads) > 1 else function)
            axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
            axes.set_xlabel(_ARGUMENTS[function[0]])
    lines, labels = figure.axes[-1].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(lines))
    return figure


def _rewards(axes: Axes, rounds: list[dict[str, Any]]) -> None:
    turns = np.arange(len(rounds))
    every = [100 * np.array(turn["rewards"]) for turn in rounds]
    for turn, rewards in zip(turns, every, strict=True):
        axes.plot(np.full(len(rewards), turn), rewards, "o", color=SOFT, markersize=3, alpha=0.6)
    axes.plot(turns, [rewards.max() for rewards in every], color=FOUND, label="best of the round")
    axes.plot(
        turns,
        [rewards.mean() for rewards in every],
        color=FOUND,
        linestyle=(0, (5, 1.6)),
        label="mean of the round",
    )
    axes.set_title("Reward of the proxies")
    axes.set_ylabel("box AP ×100")
    axes.set_xlabel("round")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    # Next to the title, since the plot may have no free space.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
