"""``rankdet list`` and ``rankdet show`` as a user calls them."""

import json
import sys
import types

import pytest
from typer.testing import CliRunner

from rankdet.catalogue import load_catalogue
from rankdet.cli import list as list_module  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from rankdet.errors import InputError


def call(*arguments: str):
    return CliRunner().invoke(app, arguments)


def test_list_shows_every_entry_with_its_figures(tmp_path):
    shown = call("list", "--results", str(tmp_path))
    assert shown.exit_code == 0
    rows = [line for line in shown.stdout.splitlines() if line.startswith("rs_atss_r50 ")]
    assert len(rows) == 1
    assert "39.9" in rows[0]
    assert "67.9" in rows[0]
    assert f"{len(load_catalogue())} entries" in shown.stdout


def test_list_for_machines(tmp_path):
    rows = json.loads(call("list", "--json", "--results", str(tmp_path)).stdout)
    assert len(rows) == len(load_catalogue())
    row = next(row for row in rows if row["entry_id"] == "rs_mask_r50")
    assert row["table_slug"] == "rank-sort-mask-rcnn-coco"
    assert {figure["metric"] for figure in row["published"]} == {"AP", "oLRP"}


def test_list_by_table_and_paper(tmp_path):
    rows = json.loads(call("list", "--json", "--table", "rank-sort-one-stage").stdout)
    assert [row["entry_id"] for row in rows] == ["rs_atss_r50", "rs_paa_r50"]
    rows = json.loads(call("list", "--json", "--paper", "bucketed").stdout)
    assert {row["paper"] for row in rows} == {"Bucketed Ranking-based Losses (ECCV 2024)"}
    for option in ("--table", "--paper"):
        assert isinstance(call("list", option, "rank-sort-one").exception, InputError)


def test_show_prints_figures_settings_and_sources():
    shown = call("show", "rs_atss_r50").stdout
    for words in ("39.9", "issue 13", "0.008", "pool_images", "official code", "b41f64df"):
        assert words in shown


def test_show_for_machines():
    row = json.loads(call("show", "rs_atss_r50", "--json").stdout)
    assert row["official"]["schedule"]["optimizer"]["lr"] == 0.008
    assert row["official"]["sources"]["losses"] == "official code"


def test_unknown_entry():
    with pytest.raises(InputError, match="nearest: rs_atss_r50"):
        raise call("show", "rs_ats_r50").exception


def test_build_reports_each_outcome(monkeypatch):
    def build_model(entry_id):
        if entry_id == "rs_atss_r50":
            raise KeyError("'Head' is not in the registry\nmore")

    module = types.ModuleType("rankdet.models.build")
    module.build_model = build_model
    monkeypatch.setitem(sys.modules, "rankdet.models.build", module)
    run = call("list", "--json", "--build", "--table", "rank-sort-one-stage")
    builds = {row["entry_id"]: row["build"] for row in json.loads(run.stdout)}
    assert builds["rs_atss_r50"].startswith("fails: ")
    assert "more" not in builds["rs_atss_r50"]
    assert run.exit_code == 1
