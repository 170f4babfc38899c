"""The catalogue: every table entry, its official facts and its published figures, validated.

``configs/experiments.csv`` holds one line per entry, ``configs/published.csv`` one line per
published figure. Nothing here imports torch or mmdet.
"""

from rankdet.catalogue.catalogue import Catalogue, Table, load_catalogue
from rankdet.catalogue.code import code_identity
from rankdet.catalogue.config_files import config_files
from rankdet.catalogue.entry import Entry
from rankdet.catalogue.identity import config_identity, table_identity
from rankdet.catalogue.published import PublishedValue
from rankdet.catalogue.rehearsal import Rehearsal, recorded_rehearsals, rehearsals_of
from rankdet.catalogue.state import State, entry_state

__all__ = [
    "Catalogue",
    "Entry",
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
    "table_identity",
]
