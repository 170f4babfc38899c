"""Reading, averaging and reporting of a study, on made-up results."""

import csv
import io
import json
import math
import statistics
from dataclasses import replace

import pytest
from benchmarks.keep_study import copy_runs, shorten
from scipy.stats import t as student
from typer.testing import CliRunner

from rankdet.catalogue.studies import part_name, rate_name, study_of
from rankdet.cli import study as study_module  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.report.study import choose_rates, drawings, write_report
from rankdet.report.study_data import RANKING, findings, means, read_study
from rankdet.times import duration
from tests.unit.report.synthetic import write_result

NAME = "imbalance"
STUDY = study_of(NAME)


def write_run(root, preset, method, seed, ap, *, several):
    place = write_result(
        root / preset, method, preset, ap, seed=seed, several=several, validations=False
    )
    path = place / "metrics.json"
    document = json.loads(path.read_text())
    document["bbox"]["APr"] = ap / 2
    path.write_text(json.dumps(document))
    errors = {"before": {"D-ECE": 0.4}, "after": {"D-ECE": 0.1 + seed / 100}}
    (place / "calibration.json").write_text(json.dumps({"record": {"all": errors}}))


def ap_of(method, set_name, seed):
    """Return a made-up AP: ranking losses win but on the balanced set."""
    base = 0.3 + 0.01 * list(STUDY.methods).index(method)
    if STUDY.methods[method].loss in RANKING:
        base += -0.2 if set_name == "1" else 0.2
    return base + 0.001 * seed


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("study") / "results"
    for place, method in enumerate(STUDY.methods):
        for rate in STUDY.learning_rates:
            best = sorted(STUDY.learning_rates)[place % len(STUDY.learning_rates)]
            ap = 0.3 if rate == best else 0.2
            write_run(root, rate_name(NAME, rate), method, STUDY.seeds[0], ap, several=False)
        for each in STUDY.sets:
            for seed in STUDY.seeds:
                ap = ap_of(method, each, seed)
                write_run(root, part_name(NAME, each), method, seed, ap, several=True)
    return root


def test_the_rate_with_the_highest_ap_is_chosen(results):
    chosen = choose_rates(NAME, results)["chosen"]
    rates = sorted(STUDY.learning_rates)
    assert chosen == {m: rates[i % len(rates)] for i, m in enumerate(STUDY.methods)}


def test_a_missing_result_is_named(results, tmp_path):
    with pytest.raises(InputError, match="preset imbalance-rate-"):
        choose_rates(NAME, tmp_path)
    path = results / "imbalance-10" / "study_atss_ap" / "seed-1" / "metrics.json"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        with pytest.raises(InputError, match=r"study_atss_ap, preset imbalance-10, seeds \[1\]"):
            read_study(NAME, results)
    finally:
        aside.rename(path)


def test_means_have_the_interval_of_the_pooled_deviation(results):
    rows = read_study(NAME, results)
    found = means(STUDY, rows, "AP")
    assert len(found) == len(STUDY.sets) * len(STUDY.methods)
    own = [100 * ap_of("study_atss_ap", "10", seed) for seed in STUDY.seeds]
    mean = found["10", "study_atss_ap"]
    assert mean.value == pytest.approx(statistics.fmean(own)) and mean.runs == len(own)
    # Every cell has the same deviation here.
    freedom = len(found) * (len(own) - 1)
    half = student.ppf(0.975, freedom) * statistics.stdev(own) / math.sqrt(len(own))
    assert mean.half == pytest.approx(half)


def test_the_findings_say_where_ranking_losses_lose(results):
    said = findings(STUDY, read_study(NAME, results))
    assert len(said) == 3
    ranking, other = "the best ranking loss (Bucketed RS)", "(Class-weighted focal)"
    words = "ahead on sets 10, 100, few, many (+24.0), behind on set 1 (−16.0)"
    assert f"with ATSS, {ranking} against the best other loss {other} is {words}" in said[0]
    assert "(+12.0)" in said[1]
    assert "Bucketed RS with ATSS (1)" in said[2] and "Cross entropy" not in said[2]
    assert "calibration error with ATSS 40 against 40" in said[2]


def test_a_gap_within_the_intervals_is_no_win(results):
    found = read_study(NAME, results)
    rows = [replace(row, values=row.values | {"AP": 30.0 + row.seed}) for row in found]
    said = findings(STUDY, rows)
    assert said[0].count("within the intervals on all 5 sets (+0.0)") == 2
    assert "ahead" not in said[0] and "beyond the intervals: none." in said[2]


@pytest.mark.parametrize(
    ("methods", "compared"),
    [
        (["study_atss_bce", "study_frcnn_ce"], set()),
        (["study_atss_ap", "study_frcnn_rank_sort"], set()),
        (["study_atss_bce", "study_atss_ap", "study_frcnn_ce"], {"ATSS"}),
    ],
)
def test_a_study_without_ranking_losses_or_without_others_has_a_report(results, methods, compared):
    study = STUDY.model_copy(update={"methods": {name: STUDY.methods[name] for name in methods}})
    rows = [row for row in read_study(NAME, results) if row.method in methods]
    said = findings(study, rows)
    for detector in ("ATSS", "Faster R-CNN"):
        has_both = detector in compared
        assert (f"with {detector}, the best ranking loss" in said[0]) == has_both
        assert (f"with {detector}, nothing to compare" in said[1]) != has_both
        assert (f"calibration error with {detector}" in said[2]) == has_both
    assert "()" not in " ".join(said) and said[2].endswith(".")
    for drawing in drawings(study, rows).values():
        assert drawing.figure() is not None


def test_the_report_has_every_mean_and_figure(results, tmp_path):
    paths = write_report(NAME, results, tmp_path / "out")
    names = {path.name for path in paths}
    assert {"report.html", "report.md", "runs.csv", "summary.csv", "imbalance.png"} <= names
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/summary.csv").read_text())))
    assert len(rows) == len(STUDY.sets) * len(STUDY.methods)
    [row] = [r for r in rows if r["set"] == "10" and r["method"] == "study_frcnn_ce"]
    expected = statistics.fmean(100 * ap_of("study_frcnn_ce", "10", s) for s in STUDY.seeds)
    assert float(row["AP"]) == pytest.approx(expected, abs=0.006)
    assert float(row["APr"]) == pytest.approx(expected / 2, abs=0.006)
    assert (row["D-ECE"], row["D-ECE calibrated"]) == ("40.0000", "11.0000")
    assert float(row["ms per step"]) == pytest.approx(420)
    page = (tmp_path / "out/report.html").read_text()
    assert "Findings" in page and page.count("<svg") == 2 * 4
    runs = list(csv.DictReader(io.StringIO((tmp_path / "out/runs.csv").read_text())))
    assert len(runs) == len(rows) * len(STUDY.seeds)
    assert {row["training s"] for row in runs} == {"42.0"} and "sortable" in page
    together = duration(42 * len(runs))
    for text in (page, (tmp_path / "out/report.md").read_text()):
        assert f"{len(runs)} trainings, {together} together" in text


def test_the_report_is_the_same_when_written_again(results, tmp_path):
    first, second = (write_report(NAME, results, tmp_path / each) for each in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_what_is_kept_of_the_runs_gives_the_same_report(results, tmp_path):
    every = len(STUDY.methods) * (len(STUDY.learning_rates) + len(STUDY.sets) * len(STUDY.seeds))
    assert copy_runs(NAME, results, tmp_path / "kept", shorten) == every
    first = write_report(NAME, results, tmp_path / "first")
    second = write_report(NAME, tmp_path / "kept", tmp_path / "second")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    record = next((tmp_path / "kept").rglob("run.json"))
    assert not set(json.loads(record.read_text())) & {"config", "differences"}


def test_a_run_that_is_not_complete_is_not_kept(results, tmp_path):
    aside = results / "imbalance-10" / "study_atss_ap" / "seed-1"
    (aside / "calibration.json").rename(aside / "aside")
    try:
        copy_runs(NAME, results, tmp_path, shorten)
    finally:
        (aside / "aside").rename(aside / "calibration.json")
    kept = {path.parent.name for path in (tmp_path / "imbalance-10/study_atss_ap").rglob("*.json")}
    assert kept == {"seed-0", "seed-2"}


def test_the_commands(results, tmp_path):
    run = CliRunner().invoke(
        app,
        ["study", "rates", NAME, "--results", str(results), "--out", str(tmp_path / "rates.json")],
    )
    assert run.exit_code == 0, run.output
    assert json.loads((tmp_path / "rates.json").read_text())["study"] == NAME
    run = CliRunner().invoke(app, ["study", "report", "nosuch", "--out", str(tmp_path)])
    assert isinstance(run.exception, InputError) and "a study of" in str(run.exception)
