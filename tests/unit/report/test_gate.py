"""`rankdet report verdicts`: the list, the CSV and the gate."""

import csv

import pytest
from typer.testing import CliRunner

from rankdet.cli import report as report_module  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from tests.unit.report.synthetic import write_result


def run(tmp_path, *options):
    arguments = ["report", "verdicts", "--results", str(tmp_path / "paper"), *options]
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def paper(tmp_path):
    for seed, ap in enumerate((0.398, 0.399, 0.4)):  # published 39.9
        write_result(
            tmp_path / "paper", "rs_atss_r50", "paper", ap, data="coco", seed=seed, several=True
        )
    write_result(tmp_path / "paper", "rs_frcnn_r50", "paper", 0.394, data="coco")  # 39.6
    return tmp_path


def test_the_gate_passes_without_a_miss(paper):
    found = run(paper, "--strict")
    assert found.exit_code == 0, found.output
    assert "1 reproduced, 1 inconclusive" in found.output
    assert "−0.11 to +0.11" in found.output


@pytest.mark.parametrize(("ap", "words"), [(0.39, "AP is −2.0"), (0.43, "AP is +2.0")])
def test_the_gate_fails_for_a_miss_in_either_direction(paper, ap, words):
    write_result(paper / "paper", "rs_paa_r50", "paper", ap, data="coco")  # published 41.0
    assert run(paper).exit_code == 0
    found = run(paper, "--strict")
    assert found.exit_code == 1
    assert f"rs_paa_r50: {words} from the published 41.0 (runs: 1)" in found.output


def test_the_gate_fails_if_a_named_row_was_not_compared(paper):
    assert run(paper, "--strict", "--entries", "rs_atss_r50").exit_code == 0
    found = run(paper, "--strict", "--entries", "rs_atss_r50,rs_paa_r50")
    assert found.exit_code == 1 and "rs_paa_r50: was not compared" in found.output


def test_a_gate_that_compares_nothing_fails(tmp_path):
    (tmp_path / "paper").mkdir()
    found = run(tmp_path, "--strict")
    assert found.exit_code == 1
    assert "nothing was compared (preset paper: no result of a published value)" in found.output
    write_result(tmp_path / "demo", "rs_atss_r50", "demo", 0.399)
    arguments = ["report", "verdicts", "--preset", "demo", "--results", str(tmp_path / "demo")]
    found = CliRunner().invoke(app, [*arguments, "--strict"])
    assert found.exit_code == 1
    assert "nothing was compared (preset demo: digits set)" in found.output


def test_the_csv_has_a_line_per_published_value(paper):
    assert run(paper, "--out", str(paper / "verdicts.csv")).exit_code == 0
    with (paper / "verdicts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    keys = [(row["entry"], row["split"], row["iou_type"], row["metric"]) for row in rows]
    assert len(keys) == len(set(keys)) > 150
    [row] = [row for row in rows if row["entry"] == "rs_atss_r50" and row["metric"] == "AP"]
    assert (row["published"], row["mean"], row["deviation"]) == ("39.9", "39.9", "0.1")
    assert (row["runs"], row["difference"], row["verdict"]) == ("3", "0", "reproduced")
    assert -0.3 < float(row["low"]) < 0 < float(row["high"]) < 0.3
    [row] = [row for row in rows if row["entry"] == "rs_frcnn_r50" and row["metric"] == "AP"]
    assert (row["verdict"], row["reason"]) == ("inconclusive", "needs 3 more runs")
