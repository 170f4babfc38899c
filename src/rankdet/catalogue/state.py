"""How far an entry has come: computed from what lies on disk, never typed in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rankdet.catalogue.entry import Entry

# Detectors of mmdet's projects/ folder, which no release of mmdet holds: their rows stay for their
# figures.
NOT_IN_MMDET = "CoDETR"


@dataclass(frozen=True)
class State:
    """``label`` is for people; ``measured`` names the presets with a finished evaluation."""

    label: str
    has_config: bool
    measured: tuple[str, ...] = ()


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
            path.parents[1].name for path in Path(results).glob(f"*/{entry.entry_id}/metrics.json")
        )
    )
    if measured:
        label = f"measured ({', '.join(measured)})"
    elif has_config:
        label = "runnable"
    elif entry.has_official_config and not entry.head_type.startswith(NOT_IN_MMDET):
        label = "no config yet"
    else:
        label = "published only" if has_figures else "named only"
    return State(label, has_config, measured)
