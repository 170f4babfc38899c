"""Make user text safe for terminals, spreadsheets and figures: no control codes or formulas."""

from __future__ import annotations

from rich.text import Text

LONGEST_NAME = 36  # in a figure; a longer name would leave no space for the plot

# The first character of a formula in a spreadsheet, including full-width forms.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def printable(text: object) -> str:
    """Return ``text`` on one line, without control characters, which a terminal would execute."""
    line = " ".join(str(text).split())
    return line if line.isprintable() else "".join(c for c in line if c.isprintable())


def cell(text: object, style: str = "") -> Text:
    """Return ``text`` for a terminal: brackets are not interpreted as markup."""
    return Text(printable(text), style)


def spreadsheet(text: str) -> str:
    """Return a text cell of a CSV file that no spreadsheet interprets as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def short(name: str) -> str:
    """Return a name for a figure, shortened if it is too long."""
    name = printable(name)
    # Matplotlib omits labels that start with an underscore.
    name = f" {name}" if name.startswith("_") else name
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
