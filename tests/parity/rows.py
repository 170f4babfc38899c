"""The rows of the catalogue that have a config, and those that must have one."""

from __future__ import annotations

from functools import cache

from rankdet.audit import Audit, audit
from rankdet.catalogue import load_catalogue, stated_deviations
from rankdet.catalogue.presets import PRESETS
from rankdet.training.resolve import resolve

CATALOGUE = load_catalogue()
ENTRIES = tuple(entry for table in CATALOGUE.tables for entry in table.entries)
WITH_CONFIG = tuple(entry for entry in ENTRIES if entry.config_path.exists())
STATED = stated_deviations()


def is_of_the_ap_code(entry) -> bool:
    """Whether a row is of the AP-Loss code base, which is no mmdet."""
    return entry.family == "alrp_ap"


def is_multi_stage(entry) -> bool:
    """Whether a row is a Faster, Cascade or Mask R-CNN with a public config, resolved or not."""
    return bool(entry.official.config) and "R-CNN" in entry.detector


def is_one_stage(entry) -> bool:
    """Whether a row is a one-stage detector of an mmdet code base with a public config."""
    is_other = is_of_the_ap_code(entry) or is_multi_stage(entry)
    return bool(entry.official.config) and not is_other and "Co-DETR" not in entry.detector


AP_CODE = tuple(entry for entry in ENTRIES if is_of_the_ap_code(entry))
MULTI_STAGE = tuple(entry for entry in ENTRIES if is_multi_stage(entry))
ONE_STAGE = tuple(entry for entry in ENTRIES if is_one_stage(entry))


def by_id(entry) -> str:
    return entry.entry_id


@cache
def paper(entry_id: str):
    """The config of a row under preset paper; not to be changed."""
    return resolve(entry_id, PRESETS["paper"], None)


@cache
def audited(entry_id: str) -> Audit:
    """What differs from the official run."""
    return audit(CATALOGUE[entry_id], paper(entry_id).to_dict(), STATED)
