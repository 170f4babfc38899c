"""The rows of the catalogue that have a config, and those that must have one."""

from __future__ import annotations

from functools import cache

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS
from rankdet.training.facts import Difference, differences
from rankdet.training.facts.compare import explanations
from rankdet.training.resolve import resolve

CATALOGUE = load_catalogue()
ENTRIES = tuple(entry for table in CATALOGUE.tables for entry in table.entries)
WITH_CONFIG = tuple(entry for entry in ENTRIES if entry.config_path.exists())


def is_one_stage(entry) -> bool:
    """Whether a row is a one-stage detector of an mmdet code base with a public config."""
    kind = entry.head_type
    other = ("roi=", "roi_head=", "own code")
    return entry.has_official_config and bool(kind) and not any(word in kind for word in other)


def is_multi_stage(entry) -> bool:
    """Whether a row is a Faster, Cascade or Mask R-CNN with a public config, resolved or not."""
    return entry.has_official_config and ("/ roi=" in entry.head_type or not entry.head_type)


def is_of_the_ap_code(entry) -> bool:
    """Whether a row is of the AP-Loss code base, which is no mmdet."""
    return "own code" in entry.head_type


AP_CODE = tuple(entry for entry in ENTRIES if is_of_the_ap_code(entry))
MULTI_STAGE = tuple(entry for entry in ENTRIES if is_multi_stage(entry))
ONE_STAGE = tuple(entry for entry in ENTRIES if is_one_stage(entry))


def by_id(entry) -> str:
    return entry.entry_id


@cache
def paper(entry_id: str):
    """The config of a row under preset paper; not to be changed."""
    return resolve(entry_id, PRESETS["paper"], None)


EXPLAINED = explanations()


@cache
def found(entry_id: str) -> tuple[Difference, ...]:
    """What differs from the official run."""
    return tuple(differences(CATALOGUE[entry_id], paper(entry_id), EXPLAINED))
