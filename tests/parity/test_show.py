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
    assert "what differs here from the official run" in shown
    assert "score voting turns" in " ".join(shown.split())
    assert "min_bbox_size above 0" in shown


def test_a_stock_row_differs_in_nothing():
    assert "nothing: every setting and behavior is the official one" in show("control_frcnn_r50")


def test_settings_and_deviations_for_machines():
    row = json.loads(show("rs_paa_r50", "--json"))
    assert row["here"]["schedule"]["optimizer"]["lr"] == 0.008
    assert row["here"]["assignment"]["dense"]["assigner"]["pos_iou_thr"] == 0.1
    assert {each["setting"] for each in row["deviations"]} == {"", "test.dense.min_bbox_size"}


def test_a_row_without_config_has_no_settings():
    row = json.loads(show("pap_autoloss_zero_frcnn_r50", "--json"))
    assert row["here"] is None
    assert row["deviations"] is None


def test_without_mmdet_the_official_settings_are_shown(monkeypatch):
    monkeypatch.setattr(list_module, "find_spec", lambda name: None)
    shown = show("rs_paa_r50")
    assert "pos_iou_thr 0.1" in " ".join(shown.split())
    assert "what differs" not in shown
