"""One complete tiny run of the DAG, and what reruns, deletions and bad requests do to it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rankdet.errors import InputError
from rankdet.report.captions import FIGURES
from rankdet.workflow.plan import planned_jobs
from tests.workflow.project import ENTRIES, ROOT


def test_a_bare_snakemake_has_a_target(project):
    plan = project.planned()
    assert plan["train"] >= 7 and plan["page"] == 1


def test_one_run_gives_every_artefact(finished):
    results = finished.folder / "results" / "smoke"
    for entry in ENTRIES:
        metrics = json.loads((results / entry / "metrics.json").read_text())["bbox"]
        assert 0 <= metrics["AP"] <= 1 and 0 <= metrics["oLRP"] <= 1
        run = json.loads((results / entry / "run.json").read_text())
        assert run["iterations"] == 2 and run["versions"]["mmdet"] == "3.3.0"
        losses = [json.loads(line) for line in (results / entry / "training.jsonl").open()]
        assert [row["iteration"] for row in losses if "loss" in row] == [1, 2]
    for table in ("rank-sort-one-stage", "control"):
        for suffix in (".csv", ".md", ".html", ".tex"):
            assert (results / "tables" / f"{table}{suffix}").stat().st_size > 100
    for figure in ("ap", "olrp", "training", "precision_recall", "lrp"):
        assert (results / "figures" / f"{figure}.svg").read_text().startswith("<?xml")
        assert (results / "figures" / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert "smoke" in (results / "report.html").read_text()
    for entry in ENTRIES:
        assert f"# {entry}: " in (results / entry / "model-card.md").read_text()
        assert f"Name: {entry}_smoke" in (results / entry / "metafile.yml").read_text()
    crate = json.loads((results / "ro-crate-metadata.json").read_text())
    files = {each["@id"] for each in crate["@graph"] if each["@type"] == "File"}
    assert files == {
        f"{entry}/{name}"
        for entry in ENTRIES
        for name in (
            *("checkpoint.pth", "run.json", "training.jsonl", "detections.json", "metrics.json"),
            *("curves.json", "model-card.md", "metafile.yml"),
        )
    }
    # Every rule that ran left its log and its benchmark.
    logs = finished.folder / "logs"
    assert len(list(logs.rglob("train.log"))) == len(list(logs.rglob("train.benchmark.tsv"))) == 2


def test_a_smoke_table_claims_no_comparison(finished):
    table = finished.folder / "results/smoke/tables/rank-sort-one-stage.md"
    assert "two iterations" in table.read_text()


def test_again_there_is_nothing_to_do(finished):
    before = finished.files()
    run = finished.snakemake("smoke")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout
    assert finished.files() == before


def test_a_deleted_metrics_file_redoes_only_what_hangs_on_it(finished):
    before = finished.files()
    metrics = finished.folder / "results/smoke/rs_atss_r50/metrics.json"
    metrics.unlink()
    plan = finished.planned("smoke")
    # Its detections are drawn in the page of the other row, too, and tables come after pages.
    expected = {"evaluate": 1, "run_page": 2, "table": 2, "verdicts": 1, "figures": 1, "page": 1}
    expected |= {"cards": 1, "crate": 1, "smoke": 1, "total": 11}
    assert plan == expected
    run = finished.snakemake("smoke")
    assert run.returncode == 0, run.stdout
    after = finished.files()
    redone = {name for name in before if after[name] != before[name]}
    assert not [name for name in redone if name.endswith(("checkpoint.pth", "detections.json"))]
    assert "results/smoke/control_atss_r50/metrics.json" not in redone
    assert "results/smoke/rs_atss_r50/metrics.json" in redone


@pytest.mark.parametrize(
    ("deleted", "redone"),
    [
        ("tables/control.md", {"table": 1, "page": 1}),
        ("tables/control.tex", {"table": 1, "page": 1}),
        ("tables/control.csv", {"table": 1, "page": 1}),
        ("figures/lrp.svg", {"figures": 1, "page": 1}),
        ("figures/ap.png", {"figures": 1, "page": 1}),
        ("report.html", {"page": 1}),
        ("verdicts.csv", {"verdicts": 1}),
        ("rs_atss_r50/run.html", {"run_page": 1, "table": 1, "page": 1}),
        (
            "rs_atss_r50/curves.json",
            {"evaluate": 1, "run_page": 2, "table": 2, "verdicts": 1, "figures": 1, "page": 1}
            | {"cards": 1, "crate": 1},
        ),
        ("rs_atss_r50/model-card.md", {"cards": 1, "crate": 1}),
        ("rs_atss_r50/metafile.yml", {"cards": 1, "crate": 1}),
        ("ro-crate-metadata.json", {"crate": 1}),
        # Large and dear: who deletes them wants the disk, not the training again.
        ("rs_atss_r50/checkpoint.pth", {}),
        ("rs_atss_r50/detections.json", {}),
    ],
)
def test_what_a_deleted_file_redoes(finished, deleted, redone):
    path = finished.folder / "results" / "smoke" / deleted
    aside = path.rename(path.with_suffix(".aside"))
    try:
        plan = finished.planned("smoke")
    finally:
        aside.rename(path)
    assert {name: plan[name] for name in plan if name not in ("smoke", "total")} == redone


@pytest.fixture(scope="module")
def snakemake_report(finished):
    run = finished.snakemake("smoke", "--report", "snakemake-report.html")
    assert run.returncode == 0, run.stdout
    return (finished.folder / "snakemake-report.html").read_text()


def embedded(report, name):
    """Return a JSON value of a report's script."""
    start = re.search(rf"\b{name} = (?={{)", report).end()
    return json.JSONDecoder().raw_decode(report, start)[0]


def test_the_snakemake_report_lists_every_result_under_its_category(snakemake_report):
    categories = embedded(snakemake_report, "categories")
    assert set(categories) == {"Report", "Tables", "Figures", "Runs"}
    assert set(categories["Tables"]) == {"Rank & Sort Loss (ICCV 2021)", "mmdet 3.3.0 model zoo"}
    assert set(categories["Runs"]) == set(ENTRIES)
    [figures] = categories["Figures"].values()
    assert {Path(path).stem for path in figures} == set(FIGURES)
    [pages] = categories["Report"].values()
    assert {Path(path).name for path in pages} == {
        *("report.html", "verdicts.csv", "ro-crate-metadata.json")
    }


def test_each_file_of_the_snakemake_report_has_labels_of_its_own_and_a_caption(snakemake_report):
    """Of two files with the same labels the report shows one."""
    results = embedded(snakemake_report, "results")
    for subcategories in embedded(snakemake_report, "categories").values():
        for paths in subcategories.values():
            labels = [tuple(results[path]["labels"].items()) for path in paths]
            assert len(labels) == len(set(labels)) and all(labels)
    captions = {path: each["caption"] for path, each in results.items()}
    assert all("smoke" in caption for caption in captions.values())
    assert "system-message" not in snakemake_report and "{{" not in "".join(captions.values())
    note = "Not comparable to the published figures"
    assert sum(note in caption for caption in captions.values()) == len(FIGURES)


def test_the_snakemake_report_is_the_same_again_and_loads_nothing(finished, snakemake_report):
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=.https?:", snakemake_report)
    run = finished.snakemake("smoke", "--report", "again.html")
    assert run.returncode == 0, run.stdout
    assert (finished.folder / "again.html").read_text() == snakemake_report


def test_the_captions_of_the_snakemake_report_are_those_of_the_page():
    folder = ROOT / "workflow" / "report" / "figures"
    assert {path.stem for path in folder.glob("*.rst")} == set(FIGURES)
    for name, caption in FIGURES.items():
        assert " ".join((folder / f"{name}.rst").read_text().split()).startswith(caption.text)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("results/smoke/rs_atss_r5/metrics.json", r"got 'rs_atss_r5'; nearest: .*rs_atss_r50"),
        ("results/demmo/rs_atss_r50/metrics.json", r"got 'demmo'; nearest: demo"),
        ("results/smoke/tables/rank-sort-onestage.md", r"nearest: .*rank-sort-one-stage"),
        (
            "results/smoke/pap_autoloss_zero_frcnn_r50/metrics.json",
            r"expected the config of pap_autoloss_zero_frcnn_r50",
        ),
    ],
)
def test_bad_requests_are_answered(project, target, message):
    run = project.snakemake(target)
    assert run.returncode != 0
    assert re.search(message, run.stdout), run.stdout
    assert "Traceback (most recent call last)" not in run.stdout
    assert not (project.folder / target).exists()


def test_missing_data_is_named(project):
    run = project.snakemake("results/mini/rs_atss_r50/metrics.json")
    assert run.returncode != 0
    assert re.search(
        r"expected a folder with annotations and images; got no folder \S*data/mini", run.stdout
    )
    assert not (project.folder / "results" / "mini").exists()


def test_a_file_that_is_not_coco_is_named(project, tmp_path):
    root = tmp_path / "coco"
    for name in ("annotations", "train", "val"):
        (root / name).mkdir(parents=True)
    for split in ("train", "val"):
        (root / "annotations" / f"instances_{split}.json").write_text('{"images": []}')
    arguments = ("--config", f"mini={root}", "--", "results/mini/rs_atss_r50/metrics.json")
    run = project.snakemake(*arguments)
    assert run.returncode != 0
    assert "a list 'annotations'; got the keys 'images'" in run.stdout
    assert not (project.folder / "data/prepared/mini/dataset.json").exists()


def test_a_wrong_pipeline_file_stops_before_the_dag(project, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("digits: {seed: minus one, train_images: 10, val_images: 5}\n")
    run = project.snakemake("--dry-run", "--configfile", str(wrong))
    assert run.returncode != 0 and "minus one" in run.stdout


def test_a_wrong_catalogue_stops_before_the_dag(project):
    path = project.folder / "configs" / "published.csv"
    original = path.read_text()
    path.write_text(original.replace("rs_atss_r50,", "rs_atss_r55,", 1))
    try:
        environment_run = project.snakemake("--dry-run")
    finally:
        path.write_text(original)
    assert environment_run.returncode != 0 and "rs_atss_r55" in environment_run.stdout


def test_a_training_is_asked_for_with_the_seed_of_the_workflow(project):
    """Every training of a target, by the very words of its command."""
    options = ("--quiet", "host", "--printshellcmds", "--forcerun", "train", "--config", "seed=23")
    run = project.snakemake("smoke", "--dry-run", *options)
    assert run.returncode == 0, run.stdout
    shown = [line.partition("Shell command: ")[2] for line in run.stdout.splitlines()]
    commands = {line.split()[2]: line for line in shown if line.startswith("rankdet train ")}
    assert set(commands) == set(ENTRIES)
    for command in commands.values():
        assert " --preset smoke " in command and " --seed 23 " in command
        assert " --resume " in command


def test_a_plan_counts_the_jobs_of_a_dry_run(project):
    wanted = project.planned("demo")
    program = "import sys; from rankdet.cli import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", program, "plan", "demo"],
        cwd=project.folder,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    found = [line.split() for line in run.stdout.splitlines()[1:-1]]
    assert {row[0]: int(row[1]) for row in found} == wanted


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nosuch", "No rule to produce nosuch"),
        ("results/demo/rs_atss_r5/metrics.json", "got 'rs_atss_r5'"),
        ("results/dem/rs_atss_r50/metrics.json", "got 'dem'"),
        ("--cores", "No rule to produce --cores"),
    ],
)
def test_what_cannot_be_planned_is_an_error_in_one_line(project, monkeypatch, target, words):
    monkeypatch.chdir(project.folder)
    with pytest.raises(InputError, match=words) as caught:
        planned_jobs([target])
    assert "\n" not in str(caught.value)


def test_the_workflow_is_a_module_of_another_one(project, tmp_path):
    """As Snakemake's catalogue of workflows describes it: its files elsewhere, configs here."""
    shutil.copytree(project.folder / "configs", tmp_path / "configs")
    (tmp_path / "Snakefile").write_text(
        'configfile: "configs/pipeline.yaml"\nconfigfile: "configs/cluster.yaml"\n'
        f'module rankdet:\n    snakefile: "{project.folder}/workflow/Snakefile"\n'
        "    config: config\nuse rule * from rankdet\n"
    )
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "smoke"]
    run = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert re.search(rf"^train +{len(ENTRIES)}$", run.stdout + run.stderr, re.MULTILINE)
