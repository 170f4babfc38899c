"""The catalogue: every table entry, its official settings and its published figures, validated.

``configs/experiments.csv`` holds one line per entry, ``configs/published.csv`` one line per
published figure, ``configs/official/<family>.yaml`` the settings of the official runs. Nothing here
imports torch or mmdet.
"""

from rankdet.catalogue.catalogue import (
    Catalogue,
    Deviation,
    Entry,
    PublishedValue,
    Table,
    load_catalogue,
    stated_deviations,
)
from rankdet.catalogue.official import OfficialSettings
from rankdet.catalogue.state import (
    Rehearsal,
    State,
    code_identity,
    config_files,
    config_identity,
    entry_state,
    recorded_rehearsals,
    rehearsals_of,
    table_identity,
)

__all__ = [
    "Catalogue",
    "Deviation",
    "Entry",
    "OfficialSettings",
    "PublishedValue",
    "Rehearsal",
    "State",
    "Table",
    "code_identity",
    "config_files",
    "config_identity",
    "entry_state",
    "load_catalogue",
    "recorded_rehearsals",
    "rehearsals_of",
    "stated_deviations",
    "table_identity",
]
