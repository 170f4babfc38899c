"""`rankdet show`: the settings of the run here, and what differs from the official one."""

import json

from typer.testing import CliRunner

from rankdet.cli import list as list_module
from rankdet.cli.app import app


def show(*arguments: str) -> str:
    shown = CliRunner().invoke(app, ["show", *arguments])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def test_a_deviation_stands_with_its_reason():
    shown = show("ext_br_ap_paa_r50")
    assert "differences from the official run" in shown
    assert "hands its own delta" in " ".join(shown.split())


def test_a_stock_row_differs_in_nothing():
    assert "none: all settings and behavior are the same" in show("control_frcnn_r50")


def test_settings_and_deviations_for_machines():
    row = json.loads(show("rs_paa_r50", "--json"))
    assert row["here"]["base_lr"] == "0.008"
    assert row["here"]["assigner"].startswith("MaxIoUAssigner(pos_iou_thr=0.1")
    assert {each["what"] for each in row["differences"]} == {"behaviour"}


def test_a_row_without_config_has_no_settings():
    row = json.loads(show("pap_autoloss_zero_frcnn_r50", "--json"))
    assert row["here"] is None
    assert row["differences"] is None


def test_without_mmdet_the_official_facts_are_shown(monkeypatch):
    monkeypatch.setattr(list_module, "find_spec", lambda name: None)
    shown = show("rs_paa_r50")
    assert "MaxIoUAssigner(pos_iou_thr=0.1" in shown
    assert "differences from" not in shown
