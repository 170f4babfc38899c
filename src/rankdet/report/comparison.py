"""Two results of one data set compared: numbers, differences with intervals, what changed most."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.evaluation import Bootstrap, Interval
from rankdet.outputs import write_json, write_text
from rankdet.report.canvas import INK, SOFT, empty, headline, styled, write_figure
from rankdet.report.formats import markdown
from rankdet.report.names import printable, short, spreadsheet

MOST = 12  # classes that are shown
FEW = 5  # images; resamples of fewer say little about other images
STEM, TITLE = "compare", "B minus A, with intervals"
_BOLD = "An interval that excludes 0, and rests on more than a few images, is bold."
SUFFIXES = ("json", "csv", "md", "svg", "png")
BETTER, WORSE = "#009e73", "#d55e00"
_METHODS = {
    "bca": "BCa",
    "percentile": "percentile",
    "corrected": "corrected BCa (of differences: percentile)",
}
CLASS_NUMBERS = ("AP", "AP50", "AP75", "oLRP")
_FIELDS = ("value", "low", "high", "standard_error", "resamples")


@dataclass(frozen=True)
class Row:
    """One number of both results; ``group`` is a class, or "all"."""

    group: str
    name: str
    first: Interval | None
    second: Interval | None
    difference: Interval | None
    images: int

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0, and rests on more than a few images."""
        each = self.difference
        return each is not None and each.excludes_zero and self.images >= FEW

    @property
    def is_better(self) -> bool:
        """Whether the second result is better in this number."""
        assert self.difference is not None
        return (self.difference.value < 0) == self.name.startswith("oLRP")

    @property
    def change(self) -> float:
        """The size of the difference; -1 without one, so that it is sorted to the end."""
        return -1.0 if self.difference is None else abs(self.difference.value)


def overall(found: Bootstrap) -> list[Row]:
    """Return the numbers of the whole data set."""
    assert found.other is not None and found.difference is not None
    return [
        Row(
            "all",
            name,
            each,
            found.other.numbers[name],
            found.difference.numbers[name],
            found.arguments["images"],
        )
        for name, each in found.result.numbers.items()
    ]


def by_class(found: Bootstrap, name: str) -> list[Row]:
    """Return the number ``name`` of every class, the largest change first."""
    assert found.other is not None and found.difference is not None
    columns = zip(
        found.categories,
        found.result.per_class,
        found.other.per_class,
        found.difference.per_class,
        strict=True,
    )
    rows = [
        Row(known["name"], name, first[name], second[name], difference[name], known["images"])
        for known, first, second, difference in columns
    ]
    return sorted(rows, key=lambda row: -row.change)


def caption(found: Bootstrap) -> str:
    """Return how the intervals were computed, in one sentence."""
    known = found.arguments
    return (
        f"{100 * known['confidence']:g} % {_METHODS[known['method']]} intervals of a paired "
        f"bootstrap: {known['resamples']} resamples of {known['images']} images, "
        f"seed {known['seed']}, {known['iou_type']}, {known['protocol']} protocol."
    )


def chance(found: Bootstrap, name: str) -> str:
    """Return how many classes changed beyond chance, and how many would be expected to."""
    rows = [row for row in by_class(found, name) if row.difference and row.images >= FEW]
    significant = sum(row.is_significant for row in rows)
    expected = (1 - found.arguments["confidence"]) * len(rows)
    return (
        f"{name}: the interval excludes 0 in {significant} of the {len(rows)} classes on at least "
        f"{FEW} images; {expected:.1f} would by chance if none had changed. Classes on fewer "
        "images have no verdict."
    )


def lines(found: Bootstrap, names: tuple[str, str]) -> list[str]:
    """Return the comparison for a terminal, as percent.

    Args:
        found: of two results.
        names: of the results.
    """
    first, second = (printable(name) for name in names)
    text = [f"A: {first}", f"B: {second}", caption(found), ""]
    text.append(f"{'':<22}{'A':>8}{'B':>8}{'B - A':>9}   interval of B - A")
    text += [_line(row, row.name) for row in overall(found)]
    for name in ("AP", "oLRP"):
        changed = [row for row in by_class(found, name)[:MOST] if row.change > 0]
        if changed:
            text += ["", f"{name} by class, the largest changes:"]
            text += [_line(row, short(row.group)) for row in changed] + [chance(found, name)]
    return text


def _line(row: Row, label: str) -> str:
    cells = [_percent(each) for each in (row.first, row.second)]
    text = f"{label:<22.22}{cells[0]:>8}{cells[1]:>8}"
    if row.difference is None:
        return text
    each = row.difference
    mark = ("  better" if row.is_better else "  worse") if row.is_significant else ""
    span = f"[{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
    return f"{text}{100 * each.value:>+9.1f}   {span}{mark}"


def _percent(each: Interval | None) -> str:
    return "-" if each is None else f"{100 * each.value:.1f}"


def as_document(found: Bootstrap, names: tuple[str, str]) -> dict[str, Any]:
    """Return the comparison for JSON: values in [0, 1] at full precision, None if undefined."""
    parts = {"A": found.result, "B": found.other, "B - A": found.difference}
    return {
        "A": names[0],
        "B": names[1],
        "arguments": found.arguments,
        "numbers": {
            label: {name: _fields(each) for name, each in part.numbers.items()}
            for label, part in parts.items()
            if part is not None
        },
        "per_class": [
            category
            | {
                label: {name: _fields(each) for name, each in part.per_class[place].items()}
                for label, part in parts.items()
                if part is not None
            }
            for place, category in enumerate(found.categories)
        ],
    }


def _fields(each: Interval | None) -> dict[str, Any] | None:
    return None if each is None else {name: getattr(each, name) for name in _FIELDS}


def as_csv(found: Bootstrap) -> str:
    """Return one line per number: of the whole data set, then of every class."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    spans = [f"{label} {end}" for label in ("A", "B", "B - A") for end in ("", "low", "high")]
    writer.writerow(["class", "images", "number", *(span.strip() for span in spans)])
    rows = overall(found)
    for name in CLASS_NUMBERS:
        rows += sorted(by_class(found, name), key=lambda row: row.group)
    for row in rows:
        cells: list[Any] = []
        for each in (row.first, row.second, row.difference):
            cells += ["", "", ""] if each is None else [each.value, each.low, each.high]
        writer.writerow([spreadsheet(printable(row.group)), row.images, row.name, *cells])
    return stream.getvalue()


def as_markdown(found: Bootstrap, names: tuple[str, str]) -> str:
    """Return the page with the tables, as percent."""
    text = [
        "# Two results compared",
        "",
        f"- A: {markdown(names[0])}",
        f"- B: {markdown(names[1])}",
    ]
    text += [
        "",
        caption(found),
        _BOLD,
        "",
    ]
    text += _table("number", [(row.name, row) for row in overall(found)])
    for name in ("AP", "oLRP"):
        changed = [row for row in by_class(found, name)[:MOST] if row.change > 0]
        text += ["", f"## {name} by class, the largest changes", "", chance(found, name), ""]
        text += _table("class", [(markdown(row.group), row) for row in changed])
    return "\n".join(text) + "\n"


def _table(heading: str, rows: list[tuple[str, Row]]) -> list[str]:
    text = [f"| {heading} | A | B | B − A | interval |", "| --- | ---: | ---: | ---: | ---: |"]
    for label, row in rows:
        cells = [_percent(row.first), _percent(row.second), "—", "—"]
        if row.difference is not None:
            each = row.difference
            span = f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
            cells[2:] = [f"{100 * each.value:+.1f}", f"**{span}**" if row.is_significant else span]
        text.append(f"| {label} | {' | '.join(cells).replace('-', '−')} |")
    return text


@styled
def figure(found: Bootstrap, names: tuple[str, str]) -> Figure:
    """Return the differences with their intervals: numbers, then the classes that changed most."""
    numbers = [row for row in overall(found) if row.difference is not None]
    classes = {
        name: [row for row in by_class(found, name)[:MOST] if row.change > 0]
        for name in ("AP", "oLRP")
    }
    most = max(map(len, classes.values()), default=0)
    heights = [0.45 + 0.2 * max(len(numbers), 1), 0.45 + 0.2 * max(most, 2)]
    drawn = Figure(figsize=(8.2, 0.4 + sum(heights)))
    grid = drawn.add_gridspec(2, 2, height_ratios=heights)
    headline(
        drawn,
        TITLE,
        f"A: {short(names[0])}. B: {short(names[1])}. {caption(found)} Green: B is better, orange: "
        f"B is worse, gray: the interval includes 0, or fewer than {FEW} images have the class.",
    )
    _forest(drawn.add_subplot(grid[0, :]), numbers, [row.name for row in numbers], "all classes")
    for place, (name, rows) in enumerate(classes.items()):
        title = f"{name} of the classes that changed most"
        _forest(drawn.add_subplot(grid[1, place]), rows, [short(row.group) for row in rows], title)
    return drawn


def words(found: Bootstrap, names: tuple[str, str]) -> str:
    """Return the figure in words: every difference that it shows, with its interval."""
    said = [f"A: {printable(names[0])}. B: {printable(names[1])}. {caption(found)}"]
    shown = {"all classes": [row for row in overall(found) if row.difference is not None]}
    for name in ("AP", "oLRP"):
        shown[f"{name} by class"] = [row for row in by_class(found, name)[:MOST] if row.change > 0]
    for title, rows in shown.items():
        points = "; ".join(
            _said(row, row.name if row.group == "all" else printable(row.group)) for row in rows
        )
        said.append(f"{title}: {points or 'no difference'}.")
    return " ".join(said)


def _said(row: Row, label: str) -> str:
    each = row.difference
    assert each is not None
    span = f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
    mark = (", better" if row.is_better else ", worse") if row.is_significant else ""
    return f"{label} {100 * each.value:+.1f} ({span}{mark})"


def _forest(axes: Axes, rows: list[Row], labels: list[str], title: str) -> None:
    axes.set_title(title)
    if not rows:
        empty(axes, "no difference")
        return
    for place, row in enumerate(rows):
        each = row.difference
        assert each is not None
        color = (BETTER if row.is_better else WORSE) if row.is_significant else SOFT
        axes.plot([100 * each.low, 100 * each.high], [place, place], color=color, linewidth=2)
        axes.plot(100 * each.value, place, "o", color=color, markersize=4.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), labels, color=INK)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("B − A, ×100")


def write(found: Bootstrap, names: tuple[str, str], folder: Path) -> list[Path]:
    """Write the comparison as JSON, CSV, Markdown, SVG and PNG into ``folder``."""
    write_json(folder / f"{STEM}.json", as_document(found, names))
    write_text(folder / f"{STEM}.csv", as_csv(found))
    write_text(folder / f"{STEM}.md", as_markdown(found, names))
    write_figure(figure(found, names), folder, STEM, TITLE, words(found, names))
    return [folder / f"{STEM}.{suffix}" for suffix in SUFFIXES]
