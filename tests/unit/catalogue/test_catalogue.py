"""The catalogue holds every row and every published figure, and groups them as the papers do."""

import csv
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
REFERENCE = ROOT.parent / "shared" / "reference"
PUBLISHED_COLUMNS = {
    "box_AP_minival": ("val", "bbox", "AP"),
    "box_oLRP_minival": ("val", "bbox", "oLRP"),
    "mask_AP_minival": ("val", "segm", "AP"),
    "mask_oLRP_minival": ("val", "segm", "oLRP"),
    "box_AP_testdev": ("test-dev", "bbox", "AP"),
}
needs_reference = pytest.mark.skipif(
    not (REFERENCE / "entries.csv").is_file(), reason="the reference tables are not on this machine"
)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue(ROOT / "configs")


@needs_reference
def test_every_fact_of_the_reference_is_here():
    expected = rows(REFERENCE / "entries.csv")
    ours = {row["entry_id"]: row for row in rows(ROOT / "configs" / "experiments.csv")}
    assert len(expected) == 79
    for row in expected:
        facts = {key: value for key, value in row.items() if key not in PUBLISHED_COLUMNS}
        assert {key: ours[row["entry_id"]][key] for key in facts} == facts
    order = [name for name, row in ours.items() if row["status"] != "control"]
    assert order == [row["entry_id"] for row in expected]


@needs_reference
def test_published_holds_what_the_facts_stated(catalogue):
    for row in rows(REFERENCE / "entries.csv"):
        figures = {
            (
                "test-dev" if "test-dev" in value.split else "val",
                value.iou_type,
                value.metric,
            ): value
            for value in catalogue.published(row["entry_id"])
            if value.is_official
        }
        for column, key in PUBLISHED_COLUMNS.items():
            if row[column] == "Coming Soon":
                assert figures[key].value is None
                assert "Coming Soon" in figures[key].source
            elif row[column]:
                assert f"{figures[key].value:.1f}" == row[column]
            else:
                assert key not in figures


@needs_reference
def test_published_holds_the_reference_list(catalogue):
    for row in rows(REFERENCE / "published.csv"):
        kind = None if row["iou_type"] == "n/a" else row["iou_type"]
        wanted = (row["split"], kind, row["metric"], float(row["value"]))
        found = [(*value.key, value.value) for value in catalogue.published(row["entry_id"])]
        assert wanted in found


@needs_reference
def test_controls_carry_the_model_zoo_figures(catalogue):
    zoo = {row["config"]: row for row in rows(REFERENCE / "mmdet_baselines.csv")}
    for entry in catalogue.table("control").entries:
        official = zoo[entry.official_config]
        figures = {value.key: value.value for value in catalogue.published(entry.entry_id)}
        assert figures["coco_val2017", "bbox", "AP"] == float(official["box_ap"])
        assert entry.epochs == int(official["epochs"])


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
    assert set(labels.values()) <= {"published only", "runnable", "not rehearsed at this code"}
    assert len(labels) - len(only) == 46


def test_no_published_figure_stands_in_the_facts():
    header = rows(ROOT / "configs" / "experiments.csv")[0]
    assert not set(PUBLISHED_COLUMNS) & set(header)


def test_pool_is_the_images_of_one_gpu(catalogue):
    assert catalogue["rs_atss_r50"].pool_images == 4
    assert catalogue["rs_atss_r50"].official_batch == 16
    assert catalogue["pap_autoloss_zero_frcnn_r50"].pool_images is None
    assert catalogue["ext_br_brs_atss_r50"].official_batch is None  # "unknown"


def test_tables_come_paper_by_paper_and_keep_their_rows(catalogue):
    tables = catalogue.tables
    papers = [table.paper for table in tables]
    assert papers == sorted(papers, key=papers.index)
    one_stage = catalogue.table("rank-sort-one-stage")
    assert [entry.entry_id for entry in one_stage.entries] == ["rs_atss_r50", "rs_paa_r50"]
    assert sum(len(table.entries) for table in tables) == len(catalogue)
    assert catalogue.table("alrp-foveabox").heading == "FoveaBox Results"


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
