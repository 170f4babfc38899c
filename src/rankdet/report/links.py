"""Addresses of the pages of single runs, and the values by which tables are sorted."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from rankdet.report.results import Result
from rankdet.report.tables import MISSING

NAME = "run.html"  # in the folder of a run
ROOT = "report.html"  # in the folder of the preset
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def run_links(
    results: Mapping[str, Result], folder: Path, page: Path, written: Iterable[Path] = ()
) -> dict[str, dict[str, str]]:
    """Return the relative addresses of the pages of runs that exist, by entry id and place.

    Args:
        results: whose runs are linked.
        folder: of the results of the preset.
        page: that has the links. A page outside of ``folder`` has none: the address would lead
            through the folders of this machine.
        written: pages that exist or will.
    """
    there, place = set(written), os.path.abspath(page.parent)
    root = os.path.abspath(folder)
    if os.path.commonpath([root, place]) != root:
        return {}
    links: dict[str, dict[str, str]] = {}
    for entry_id, result in results.items():
        for run in result.runs:
            path = folder / run.place / NAME
            if path in there or path.is_file():
                address = Path(os.path.relpath(os.path.abspath(path), place)).as_posix()
                links.setdefault(entry_id, {})[run.place] = address
    return links


def first_links(links: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the address of the first run of each entry."""
    return {entry_id: next(iter(places.values())) for entry_id, places in links.items()}


def sort_value(cell: str) -> str:
    """Return by what a cell is sorted: a number with a plain minus, nothing for a missing value.

    Of a mean with its deviation it is the mean. Text that is no number is sorted after the
    numbers, as it is.
    """
    text = cell.partition(" ± ")[0].strip().replace("−", "-").removeprefix("+")
    if text in ("", MISSING):
        return ""
    return text if _NUMBER.fullmatch(text) else cell.strip()
