"""The common style of all figures, and files that are byte-identical on every run."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from rankdet.catalogue import Entry
from rankdet.outputs import atomic_path, write_text
from rankdet.report.names import loss_family

INK = "#1c2024"  # an inlined figure uses the text color of the page instead
SOFT = "#78818d"  # readable on white and on dark alike
GRID = "#8b94a133"
CROWDED = 4  # curves; a legend for more would cover them
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.4, 1.2, 1.4)), (0, (8, 2)))

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.parse_math": False,  # a dollar sign in a name is not a formula
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",
    # Ids inside an SVG are random unless salted: a rerun would change every file.
    "svg.hashsalt": "rankdet",
}

Draw = TypeVar("Draw", bound=Callable[..., Figure])


def styled(draw: Draw) -> Draw:
    """Apply the common style to a function that draws a figure, whatever the user's settings."""

    @wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            with matplotlib.rc_context(STYLE):
                return draw(*args, **kwargs)

    return drawn  # type: ignore[return-value]


def headline(figure: Figure, title: str, subtitle: str) -> None:
    """Set title and subtitle flush left above the panels; the figure grows to fit them.

    The subtitle is wrapped, since it is often longer than the figure is wide.
    """
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(subtitle, max(int((width - 0.24) / 0.062), 20))
    top = 0.47 + 0.15 * len(lines)
    height += top
    figure.set_size_inches(width, height)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)  # of every figure of this page
    layout.set(rect=(0, 0, 1, 1 - top / height))
    left = 0.12 / width
    figure.text(left, 1 - 0.12 / height, title, ha="left", va="top", fontsize=11.5, weight="bold")
    for number, line in enumerate(lines):
        place = 1 - (0.37 + 0.15 * number) / height
        figure.text(left, place, line, ha="left", va="top", fontsize=8, color=SOFT)


def empty(axes: Axes, words: str) -> None:
    """Show in a panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=SOFT, transform=axes.transAxes)


def strokes(entries: Iterable[Entry], by: Callable[[Entry], str]) -> dict[str, dict[str, Any]]:
    """Return dash pattern and width per entry id, so that lines of one color can be distinguished.

    Entries with the same name under ``by`` get different strokes; each name keeps its stroke.
    """
    entries = list(entries)
    names = dict.fromkeys(by(entry) for entry in entries)
    unique = len(names) == len(entries)
    places = {name: place for place, name in enumerate(names)}
    chosen = {}
    for place, entry in enumerate(entries):
        turn, index = divmod(places[by(entry)] if unique else place, len(DASHES))
        chosen[entry.entry_id] = {"linestyle": DASHES[index], "linewidth": 1.6 if not turn else 0.9}
    return chosen


def labels(entries: Iterable[Entry], by: Callable[[Entry], str] = loss_family) -> dict[str, str]:
    """Return a legend text per entry id: the name under ``by``, or the id if that is not unique."""
    entries = list(entries)
    names = [by(entry) for entry in entries]
    return {
        entry.entry_id: name if names.count(name) == 1 else entry.entry_id
        for entry, name in zip(entries, names, strict=True)
    }


def svg(figure: Figure, inline_as: str = "") -> str:
    """Return the SVG text.

    Args:
        figure: the figure.
        inline_as: a name, for a figure inside a page: no background, the text color of the page,
            and the name as a prefix of every id, since ids must be unique in the page.
    """
    stream = io.StringIO()
    with matplotlib.rc_context(STYLE):
        metadata = {"Date": None, "Creator": None}
        background = "none" if inline_as else "white"
        figure.savefig(stream, format="svg", metadata=metadata, facecolor=background)
    text = stream.getvalue()
    if not inline_as:
        return text
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    return re.sub(r'( id="|"#|url\(#)', rf"\g<1>{inline_as}-", text)


def write_figure(figure: Figure, folder: str | Path, name: str) -> list[Path]:
    """Write ``<name>.svg`` and ``<name>.png`` (200 dpi); return the paths."""
    vector, pixels = Path(folder) / f"{name}.svg", Path(folder) / f"{name}.png"
    write_text(vector, svg(figure))
    with atomic_path(pixels) as part, matplotlib.rc_context(STYLE):
        # No version in the file, which would change with the library and not with the data.
        metadata = {"Software": None}
        figure.savefig(part, format="png", dpi=200, facecolor="white", metadata=metadata)
    return [vector, pixels]
