"""Cityscapes needs a login: what a person does, and the verification of what came."""

from __future__ import annotations

from pathlib import Path

from rankdet.data.fetch.data_sets import Folders, fetch_data_set
from rankdet.data.fetch.obtain import ByHand, Place
from rankdet.data.fetch.table import data_set

STEPS = """Cityscapes gives its files to registered persons only; no program can fetch them.
1. Register at https://www.cityscapes-dataset.com/register/ and log in.
2. Download {files} from https://www.cityscapes-dataset.com/downloads/
3. Put them into {inbox}/ (do not unpack them).
4. Repeat: rankdet fetch cityscapes-help. It verifies both archives and unpacks them into {into}.
State: {state}"""


def take_over(into: Path, place: Place) -> str:
    """Verify and unpack the archives that lie in the inbox; return what is still to do.

    Raises:
        InputError: if an archive is damaged or is not what its name says.
    """
    rows = data_set("cityscapes")
    folders = Folders(into, into / ".archives")
    try:
        fetch_data_set(rows, folders, place, into / "cityscapes.sha256")
    except ByHand as missing:
        files = " and ".join(row.file for row in rows)
        state = f"{missing.expected} is not in {place.inbox} yet"
        return STEPS.format(files=files, inbox=place.inbox, into=into, state=state)
    counts = ", ".join(f"{row.count} files {row.name}" for row in rows)
    return f"{into} is complete: {counts}"
