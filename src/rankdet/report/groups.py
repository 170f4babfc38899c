"""How entries are grouped in figures and captions: by detector and by loss."""

from __future__ import annotations

import re

from rankdet.catalogue import Entry
from rankdet.report.plain import short

# The Okabe-Ito palette, suitable for color-blind readers and for light and dark pages. Ranking
# losses are colored, baselines are gray.
_FAMILIES = {
    "CE": ("Cross entropy", "#7d8590"),
    "Focal": ("Focal", "#a9b0b8"),
    "AP": ("AP Loss", "#009e73"),
    "aLRP": ("aLRP Loss", "#0072b2"),
    "RS": ("Rank & Sort", "#d55e00"),
    "PAP": ("Parameterized AP", "#cc79a7"),
    "BAP": ("Bucketed AP", "#56b4e9"),
    "BRS": ("Bucketed RS", "#e69f00"),
}
_OTHER_COLOR = "#b8a000"
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
