"""How far an entry has come: computed from what lies on disk, never typed in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rankdet.catalogue.code import code_identity
from rankdet.catalogue.entry import Entry
from rankdet.catalogue.rehearsal import PRESET, recorded_rehearsals, rehearsals_of

# Detectors of mmdet's projects/ folder, which no release of mmdet holds: their rows stay for their
# figures.
NOT_IN_MMDET = {"CoDETR"}


@dataclass(frozen=True)
class State:
    """How far a row is.

    Attributes:
        label: for people.
        has_config: whether there is a config to run it.
        measured: the presets with a finished evaluation.
        is_rehearsed: whether preset rehearsal ran to its end with this code.
    """

    label: str
    has_config: bool
    measured: tuple[str, ...] = ()
    is_rehearsed: bool = False


def entry_state(
    entry: Entry, results: str | Path = "results", *, has_figures: bool = True
) -> State:
    """Return the state of ``entry``.

    Args:
        entry: the entry.
        results: folder with ``<preset>/<entry>/metrics.json``.
        has_figures: whether any figure is published; without one and without an official config
            a row is no more than a name.
    """
    has_config = entry.config_path.is_file()
    measured = tuple(
        sorted(
            path.parents[1].name
            for path in Path(results).glob(f"*/{entry.entry_id}/metrics.json")
            if path.parents[1].name != PRESET
        )
    )
    rehearsed = has_config and is_rehearsed(entry, results)
    if measured:
        label = f"measured ({', '.join(measured)})"
    elif has_config:
        label = "runnable" if rehearsed else "not rehearsed with this code"
    elif entry.official.config and _detector(entry) not in NOT_IN_MMDET:
        label = "no config yet"
    else:
        label = "published only" if has_figures else "named only"
    return State(label, has_config, measured, rehearsed)


def _detector(entry: Entry) -> str | None:
    return entry.official.model.detector if entry.official.model else None


def is_rehearsed(entry: Entry, results: str | Path = "results") -> bool:
    """Return whether preset rehearsal of ``entry`` ran to its end with this code.

    Either in ``results``, or as recorded beside the catalogue.
    """
    found = [*rehearsals_of(results, [entry]), *recorded_rehearsals()]
    code = code_identity(entry)
    return any(each.entry == entry.entry_id and each.code == code for each in found)
