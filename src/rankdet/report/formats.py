"""One table view as CSV, Markdown, HTML and LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rankdet.outputs import write_text
from rankdet.report.links import sort_value
from rankdet.report.names import printable, spreadsheet
from rankdet.report.tables import MISSING, TableView

FORMATS = ("csv", "md", "html", "tex")

# One pass over the text, so that what an escape inserts is not escaped again.
_TEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "—": "---",
        "–": "--",
        "−": "$-$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "·": r"$\cdot$",
        # A bracket at the start of a row would be read as an option of the \\ before it.
        "[": "{[}",
        "]": "{]}",
        "*": "{*}",  # and so would a star
        "|": r"\textbar{}",
    }
)


def tex(text: str) -> str:
    """Escape ``text`` for LaTeX (pdflatex with the default fonts)."""
    return printable(text).translate(_TEX)


def markdown(text: str) -> str:
    """Escape ``text`` for a cell of a Markdown table."""
    escaped = printable(text).replace("\\", "\\\\")
    for character in "|*_`<>[]$~":
        escaped = escaped.replace(character, f"\\{character}")
    return re.sub(r"&(?=#?\w+;)", r"\\&", escaped)  # of an entity


def visible(value: object) -> object:
    """Return text without control characters, which also turn the direction of a line."""
    if not isinstance(value, str) or value.isprintable():
        return value
    kept = "".join(c for c in value if c.isprintable() or c in "\n\t")
    return Markup(kept) if isinstance(value, Markup) else kept


@cache
def environment() -> Environment:
    """Return the templates; HTML escapes by default, a missing name is an error."""
    loaded = Environment(
        loader=PackageLoader("rankdet.report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=visible,
    )
    loaded.filters |= {"tex": tex, "markdown": markdown, "sort_value": sort_value}
    return loaded


def render(view: TableView, form: str, links: Mapping[str, str] | None = None) -> str:
    """Return ``view`` as ``csv``, ``md``, ``html`` (a whole page) or ``tex`` (a float).

    Args:
        view: the table.
        form: the format.
        links: the address of the page of a row's run by entry id, for HTML.
    """
    if form == "csv":
        return _csv(view)
    return (
        environment()
        .get_template(f"table.{form}.j2")
        .render(view=view, missing=MISSING, links=links or {})
    )


def write_table(
    view: TableView, folder: str | Path, links: Mapping[str, str] | None = None
) -> list[Path]:
    """Write ``<slug>.csv``, ``.md``, ``.html`` and ``.tex`` into ``folder``; return the paths.

    Args:
        view: the table.
        folder: of the files.
        links: as for `render`.
    """
    paths = [Path(folder) / f"{view.slug}.{form}" for form in FORMATS]
    for form, path in zip(FORMATS, paths, strict=True):
        write_text(path, render(view, form, links))
    return paths


def _csv(view: TableView) -> str:
    """Return machine-readable CSV: one header line, plain minus signs, empty missing values.

    Text that a spreadsheet would execute as a formula is marked as text; numbers stay numbers.
    """
    names = {"Δ": "difference", "±": "deviation"}
    header = ["entry", "preset"]
    for column in view.columns:
        name = "measured" if column.kind == "measured" else names.get(column.name, column.name)
        header.append(spreadsheet(f"{column.group} {name}".strip()))
    numbers = [column.is_number for column in view.columns]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [name.lower() if name in ("Row", "Runs", "Status") else name for name in header]
    )
    for row in view.rows:
        cells = (
            "" if cell == MISSING else cell.replace("−", "-") if is_number else spreadsheet(cell)
            for cell, is_number in zip(row.cells, numbers, strict=True)
        )
        writer.writerow([row.entry_id, view.preset, *cells])
    return stream.getvalue()
