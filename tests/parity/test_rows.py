"""Every row's config under preset paper against the official run, field by field."""

from fnmatch import filter as filter_names

import pytest

from rankdet.catalogue import Entry
from rankdet.training.facts import FIELDS
from rankdet.training.facts.behaviours import behaviours
from rankdet.training.shrink import nodes
from tests.parity.rows import (
    AP_CODE,
    EXPLAINED,
    MULTI_STAGE,
    ONE_STAGE,
    WITH_CONFIG,
    by_id,
    found,
    paper,
)

# What the catalogue says about a row that no config can hold.
NOT_IN_A_CONFIG = {
    *("entry_id", "status", "family", "table_slug", "seed", "paper", "table", "row_label"),
    *("detector", "gpus_official", "pretrained_url", "metrics_to_report", "official_repo"),
    *("official_config", "repo_commit", "verified", "notes"),
}


def test_no_one_stage_row_is_missing():
    missing = {entry.entry_id for entry in ONE_STAGE} - {entry.entry_id for entry in WITH_CONFIG}
    assert len(ONE_STAGE) == 32
    assert not missing


def test_no_multi_stage_row_is_missing():
    missing = {entry.entry_id for entry in MULTI_STAGE} - {entry.entry_id for entry in WITH_CONFIG}
    assert len(MULTI_STAGE) == 36
    assert not missing


def test_no_row_of_the_ap_code_is_missing():
    missing = {entry.entry_id for entry in AP_CODE} - {entry.entry_id for entry in WITH_CONFIG}
    assert len(AP_CODE) == 9
    assert not missing


def test_no_field_is_left_out():
    assert set(FIELDS) | NOT_IN_A_CONFIG == set(Entry.model_fields)
    assert not set(FIELDS) & NOT_IN_A_CONFIG


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_fields(entry):
    assert not [each for each in found(entry.entry_id) if each.reason is None]


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_ranking_pool(entry):
    """Images that are ranked together are those of one official GPU (DESIGN 3.5)."""
    pools = [
        node.pool_images for node in nodes(paper(entry.entry_id).model) if "pool_images" in node
    ]
    if entry.pool_images is not None:
        assert set(pools) <= {entry.pool_images}
    ranking = entry.loss_cls not in ("CE", "Focal")
    assert bool(pools) == ranking


def test_every_explanation_is_needed():
    values = {
        (entry.entry_id, each.field, each.here)
        for entry in WITH_CONFIG
        for each in found(entry.entry_id)
    }
    idle = [line for line in EXPLAINED if not any(line.fits(*value) for value in values)]
    assert not idle
    assert all(len(line.reason) > 20 for line in EXPLAINED)


def test_every_behaviour_is_of_a_row():
    names = [entry.entry_id for entry in WITH_CONFIG]
    lines = behaviours()
    assert lines
    assert not [line for line in lines if not any(map(line.is_about, names))]
    patterns = {pattern for line in lines for pattern in line.entries.split()}
    assert not [pattern for pattern in patterns if not filter_names(names, pattern)]
