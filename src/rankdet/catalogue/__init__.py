"""The catalogue: every table entry, its official settings and its published figures, validated.

``configs/experiments.csv`` holds one line per entry, ``configs/published.csv`` one line per
published figure, ``configs/official/<family>.yaml`` the settings of the official runs. Nothing here
imports torch or mmdet.
"""

from rankdet.catalogue.catalogue import Catalogue, Table, load_catalogue
from rankdet.catalogue.code import code_identity
from rankdet.catalogue.config_files import config_files
from rankdet.catalogue.deviations import Deviation, stated_deviations
from rankdet.catalogue.entry import Entry
from rankdet.catalogue.identity import config_identity, table_identity
from rankdet.catalogue.official import OfficialSettings
from rankdet.catalogue.published import PublishedValue
from rankdet.catalogue.rehearsal import Rehearsal, recorded_rehearsals, rehearsals_of
from rankdet.catalogue.state import State, entry_state

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
