"""The common style of all figures, and files that are byte-identical on every run."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from rankdet.catalogue import Entry
from rankdet.outputs import atomic_path, write_text
from rankdet.report.names import loss_family

INK = "#1c2024"  # an inlined figure uses the text color of the page instead
SOFT = "#78818d"  # readable on white and on dark alike
GRID = "#8b94a133"
EDGE = 0.12  # inches left and right of everything
DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (5, 1.4, 1.2, 1.4)), (0, (8, 2)))
MARKERS = "osD^vPX*<>h8pd"

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
    "xtick.bottom": False,  # the lines of the grid are there
    "ytick.left": False,
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
    """Apply the common style to a function that draws a figure, whatever the user's settings.

    The layout of the figure is final.
    """

    @wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            with matplotlib.rc_context(STYLE):
                figure = draw(*args, **kwargs)
                settle(figure)
                return figure

    return drawn  # type: ignore[return-value]


def settle(figure: Figure) -> None:
    """Lay the figure out once, and round the places of its parts.

    The last digits of the solver depend on addresses in memory: files would differ by them.
    """
    if figure.get_layout_engine() is None:
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    parts: list[SubFigure] = list(figure.subfigs)
    for part in parts:  # which grows
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), 9))
        parts += part.subfigs
    for axes in figure.axes:
        axes.set_position(tuple(np.round(axes.get_position().bounds, 9)))


def headline(figure: Figure, title: str, subtitle: str) -> None:
    """Set title and subtitle flush left above the panels; the figure grows to fit them.

    Both are wrapped, since they are often longer than the figure is wide.
    """
    width, height = figure.get_size_inches()
    heading = textwrap.wrap(title, max(int((width - 0.24) / 0.105), 20))
    lines = textwrap.wrap(subtitle, max(int((width - 0.24) / 0.062), 20))
    above = 0.19 * (len(heading) - 1)
    top = 0.47 + above + 0.15 * len(lines)
    height += top
    figure.set_size_inches(width, height)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)  # of every figure of this page
    left = EDGE / width
    layout.set(rect=(left, 0, 1 - 2 * left, 1 - top / height))
    style: dict[str, Any] = dict(ha="left", va="top", fontsize=11.5, weight="bold")
    for number, line in enumerate(heading):
        figure.text(left, 1 - (0.12 + 0.19 * number) / height, line, **style)
    for number, line in enumerate(lines):
        place = 1 - (0.37 + above + 0.15 * number) / height
        figure.text(left, place, line, ha="left", va="top", fontsize=8, color=SOFT)


def empty(axes: Axes, words: str) -> None:
    """Show in a panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", color=SOFT, transform=axes.transAxes)


def strokes(entries: Iterable[Entry], by: Callable[[Entry], str]) -> dict[str, dict[str, Any]]:
    """Return dashes and markers per entry id, so that lines of one color can be distinguished.

    Entries with the same name under ``by`` get different strokes; each name keeps its stroke.
    """
    entries = list(entries)
    names = dict.fromkeys(by(entry) for entry in entries)
    unique = len(names) == len(entries)
    places = {name: place for place, name in enumerate(names)}
    return {
        entry.entry_id: _stroke(places[by(entry)] if unique else place)
        for place, entry in enumerate(entries)
    }


def _stroke(place: int) -> dict[str, Any]:
    turn, index = divmod(place, len(DASHES))
    if not turn:
        return {"linestyle": DASHES[index], "linewidth": 1.6}
    marker = MARKERS[(turn - 1) % len(MARKERS)]
    spots = {"marker": marker, "markersize": 3.4, "markevery": 0.17}
    return {"linestyle": DASHES[index], "linewidth": 1.0, **spots}


def labels(entries: Iterable[Entry], by: Callable[[Entry], str] = loss_family) -> dict[str, str]:
    """Return a legend text per entry id: the name under ``by``, or the id if that is not unique."""
    entries = list(entries)
    names = [by(entry) for entry in entries]
    return {
        entry.entry_id: name if names.count(name) == 1 else entry.entry_id
        for entry, name in zip(entries, names, strict=True)
    }


@dataclass(frozen=True)
class Drawing:
    """A figure in two widths, with its text alternative.

    Attributes:
        title: what it is called.
        draw: returns it; the argument is whether it is the narrow one for a phone.
        words: what it shows, in sentences with its numbers.
        missing: why there is nothing to draw; "" if there is something.
    """

    title: str
    draw: Callable[[bool], Figure]
    words: str
    missing: str = ""

    def figure(self, *, narrow: bool = False) -> Figure:
        """Return the figure."""
        return self.draw(narrow)


def svg(
    figure: Figure, inline_as: str = "", title: str = "", words: str = "", words_id: str = ""
) -> str:
    """Return the SVG text.

    Args:
        figure: the figure.
        inline_as: a name, for a figure inside a page: no background, the text color of the page,
            text as text, and the name as a prefix of every id, since ids must be unique.
        title: the name of the figure for screen readers.
        words: its text alternative, in a file.
        words_id: the id of its text alternative in a page.
    """
    stream = io.StringIO()
    own: dict[Any, Any] = {"svg.fonttype": "none"} if inline_as else {}
    with matplotlib.rc_context({**STYLE, **own}):
        metadata = {"Date": None, "Creator": None}
        background = "none" if inline_as else "white"
        figure.savefig(stream, format="svg", metadata=metadata, facecolor=background)
    text = stream.getvalue()
    if not inline_as:
        return _named(
            text, "", f"<title>{escape(title)}</title><desc>{escape(words)}</desc>", title
        )
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    for pattern, new in _SHORTER:
        text = pattern.sub(new, text)
    text = _PLACES.sub(_shorter, text)
    text = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{inline_as}-", text)
    names = f' aria-label="{escape(title)}" aria-describedby="{words_id}"'
    return _named(text, names, "", title)


def _named(text: str, attributes: str, content: str, title: str) -> str:
    """Return an SVG text with attributes and content of its root; as it is without a title."""
    if not title:
        return text
    return _OPENING.sub(
        lambda tag: f'{tag[0][:-1]} role="img"{attributes}>{content}', text, count=1
    )


_OPENING = re.compile(r"<svg[^>]*>")
# What a page does not need of what matplotlib writes: half of its characters.
_SHORTER = (
    (re.compile(r'<g id="[^"]*">'), "<g>"),
    (re.compile(r' transform="rotate\(-?0 [^"]*"'), ""),
    (re.compile(r"font-family: [^;\"]*(; )?"), ""),  # the style sheet of the page has it
    (re.compile(r"<metadata>.*?</metadata>", re.DOTALL), ""),
    (re.compile(r"<!--.*?-->", re.DOTALL), ""),
    (re.compile(r">\s+<"), "><"),
)


def _shorter(place: re.Match[str]) -> str:
    """Return an attribute with coordinates in hundredths of a point, and lines without letters."""
    text = re.sub(r"(\.\d\d)\d+", r"\1", place[0])
    return text if re.search("[CQ]", text) else re.sub(r"\s*L ", " ", text)


_PLACES = re.compile(r' (?:d|x|y|x1|x2|y1|y2|transform)="[^"]*"')


def write_figure(
    figure: Figure, folder: str | Path, name: str, title: str = "", words: str = ""
) -> list[Path]:
    """Write ``<name>.svg`` and ``<name>.png`` (200 dpi); return the paths.

    Args:
        figure: the figure.
        folder: of the files.
        name: of the files.
        title: the name of the figure for screen readers.
        words: likewise its text alternative.
    """
    vector, pixels = Path(folder) / f"{name}.svg", Path(folder) / f"{name}.png"
    write_text(vector, svg(figure, title=title, words=words))
    with atomic_path(pixels) as part, matplotlib.rc_context(STYLE):
        # No version in the file, which would change with the library and not with the data.
        texts = {"Title": title, "Description": words} if title else {}
        metadata = {"Software": None, **texts}
        figure.savefig(part, format="png", dpi=200, facecolor="white", metadata=metadata)
    return [vector, pixels]
