"""The catalogue holds every row and every published figure, and groups them as the papers do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.state import entry_state
from rankdet.errors import InputError
from rankdet.paths import configs_dir

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(ROOT / "configs")


def test_counts(catalogue):
    origins = [entry.status for entry in catalogue]
    assert origins.count("seed") == 48
    assert origins.count("extension") >= 31
    assert "control_atss_r50" in catalogue
    assert len(catalogue) == len(origins)


def test_every_seed_row_runs_or_is_published_only(catalogue):
    """46 of the 48 rows run; the other two were published without code."""
    labels = {}
    for entry in catalogue:
        if entry.status == "seed":
            figures = bool(catalogue.published(entry.entry_id))
            labels[entry.entry_id] = entry_state(entry, "nowhere", has_figures=figures).label
    only = {name for name, label in labels.items() if label == "published only"}
    assert only == {"pap_autoloss_zero_frcnn_r50", "pap_cse_autoloss_a_frcnn_r50"}
    assert set(labels.values()) <= {"published only", "runnable", "not rehearsed with this code"}
    assert len(labels) - len(only) == 46


def test_pool_is_the_images_of_one_gpu(catalogue):
    assert catalogue["rs_atss_r50"].official.pool_images == 4
    assert catalogue["rs_atss_r50"].official.total_batch == 16
    assert catalogue["pap_autoloss_zero_frcnn_r50"].official.pool_images is None
    assert catalogue["ext_br_brs_atss_r50"].official.total_batch is None  # "unknown"


def test_tables_come_paper_by_paper_and_keep_their_rows(catalogue):
    tables = catalogue.tables
    papers = [table.paper for table in tables]
    assert papers == sorted(papers, key=papers.index)
    one_stage = catalogue.table("rank-sort-one-stage")
    assert [entry.entry_id for entry in one_stage.entries] == ["rs_atss_r50", "rs_paa_r50"]
    assert sum(len(table.entries) for table in tables) == len(catalogue)
    assert catalogue.table("alrp-foveabox").title == "FoveaBox Results"


def test_unknown_entry_and_table_name_the_nearest(catalogue):
    with pytest.raises(InputError, match="'rs_ats_r50'; nearest: rs_atss_r50"):
        catalogue["rs_ats_r50"]
    with pytest.raises(InputError, match="nearest: rank-sort-one-stage"):
        catalogue.table("rank-sort-onestage")


def test_configs_dir_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RANKDET_CONFIGS", str(tmp_path))
    with pytest.raises(InputError, match="RANKDET_CONFIGS"):
        configs_dir()
    (tmp_path / "experiments.csv").touch()
    assert configs_dir() == tmp_path
    monkeypatch.delenv("RANKDET_CONFIGS")
    assert configs_dir() == ROOT / "configs"


def test_import_is_light():
    code = (
        "import sys, rankdet.catalogue as c; c.load_catalogue();"
        "print({'torch', 'mmdet', 'mmengine', 'matplotlib'} & sys.modules.keys())"
    )
    environment = {**os.environ, "RANKDET_CONFIGS": str(ROOT / "configs")}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.strip() == "set()"
