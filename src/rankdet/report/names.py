"""Names and texts as shown: entries by detector and loss, user text without control codes."""

from __future__ import annotations

import re

from rich.text import Text

from rankdet.catalogue import Entry

IOU_NAMES = {"bbox": "box", "segm": "mask"}  # as shown
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


# The Okabe-Ito palette, suitable for color-blind readers and for light and dark pages. Ranking
# losses are colored, baselines are gray.
_FAMILIES = {
    "CE": ("Cross entropy", "#656c76"),
    "Focal": ("Focal", "#b0b6be"),
    "AP": ("AP Loss", "#009e73"),
    "aLRP": ("aLRP Loss", "#0072b2"),
    "RS": ("Rank & Sort", "#d55e00"),
    "PAP": ("Parameterized AP", "#cc79a7"),
    "BAP": ("Bucketed AP", "#56b4e9"),
    "BRS": ("Bucketed RS", "#e69f00"),
}
_OTHER_COLOR = "#99582a"
FAMILY_ORDER = (*(name for name, _ in _FAMILIES.values()), "Other")


def loss_family(entry: Entry) -> str:
    """Return the family of the classification loss, as in the legends."""
    return _FAMILIES.get(entry.loss_cls, (short(entry.loss_cls) or "Other", ""))[0]


def loss_color(family: str) -> str:
    """Return the color of a family; it is the same in every figure."""
    return dict(_FAMILIES.values()).get(family, _OTHER_COLOR)


def family_rank(family: str) -> tuple[int, str]:
    """Return the sort key that puts families into the order of the legends."""
    known = family in FAMILY_ORDER
    return FAMILY_ORDER.index(family) if known else len(FAMILY_ORDER), family


def detector_group(entry: Entry) -> str:
    """Return the detector without loss and variant: ``RS-R-CNN+ (Faster R-CNN)``: Faster R-CNN."""
    inside = re.search(r"\((.+)\)", entry.detector)
    name = inside[1] if inside else entry.detector
    name = re.sub(r"^(RS|BRS)-(?=[A-Z])", "", name)
    return short(re.sub(r"(\+.*|-light)$", "", name))
