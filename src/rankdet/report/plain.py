"""Text of users in what people open: nothing in it is a command to the program that shows it."""

from __future__ import annotations

from rich.text import Text

LONGEST_NAME = 36  # in a figure; a longer one would leave no room for the plot

# How a cell begins that a spreadsheet computes, also in the wide forms of East Asian keyboards.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def printable(text: object) -> str:
    """Return ``text`` on one line, without control characters: a terminal acts on them."""
    line = " ".join(str(text).split())
    return line if line.isprintable() else "".join(c for c in line if c.isprintable())


def cell(text: object, style: str = "") -> Text:
    """Return ``text`` for a terminal: brackets in it are no markup."""
    return Text(printable(text), style)


def spreadsheet(text: str) -> str:
    """Return a text cell of a CSV file that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def short(name: str) -> str:
    """Return a name for a figure, cut where it is too long."""
    name = printable(name)
    # A legend leaves out what starts with an underscore.
    name = f" {name}" if name.startswith("_") else name
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
