"""Rows with several seeds: their folders, what is trained when the list grows, and the tables."""

import csv
import json
import re

import pytest
import yaml

from tests.workflow.project import Project

ROW = "rs_atss_r50"


def change(project, **smoke):
    """Change settings of preset smoke."""
    path = project.folder / "configs" / "pipeline.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["presets"]["smoke"] |= smoke
    path.write_text(yaml.safe_dump(settings))


@pytest.fixture(scope="module")
def seeded(tmp_path_factory):
    """A finished run of one row, which is then asked for with a second seed."""
    project = Project(tmp_path_factory.mktemp("seeds") / "project")
    change(project, entries=[ROW])
    run = project.snakemake("smoke")
    assert run.returncode == 0, run.stdout
    before = project.files()
    change(project, row_seeds={ROW: [0, 1]})
    plan = project.planned("smoke")
    run = project.snakemake("smoke")
    assert run.returncode == 0, run.stdout
    return project, before, plan


def test_only_the_new_seed_is_trained(seeded):
    project, before, plan = seeded
    assert (plan["train"], plan["predict"], plan["evaluate"]) == (1, 1, 1)
    after = project.files()
    results = f"results/smoke/{ROW}"
    for name in ("checkpoint.pth", "detections.json", "metrics.json", "run.json"):
        assert after[f"{results}/{name}"] == before[f"{results}/{name}"]
        assert f"{results}/seed-1/{name}" in after
    run = json.loads((project.folder / results / "seed-1/run.json").read_text())
    assert run["seed"] == 1
    assert (project.folder / f"work/smoke/{ROW}/seed-1/finished.json").is_file()
    assert (project.folder / f"logs/smoke/{ROW}/seed-1/train.log").is_file()


def test_the_tables_have_the_mean_of_both(seeded):
    project, *_ = seeded
    folder = project.folder / "results/smoke"
    with (folder / "tables/rank-sort-one-stage.csv").open(newline="") as stream:
        [row] = [row for row in csv.DictReader(stream) if row["entry"] == ROW]
    errors = [
        100 * json.loads((folder / ROW / run / "metrics.json").read_text())["bbox"]["oLRP"]
        for run in (".", "seed-1")
    ]
    assert row["runs"] == "2"
    assert row["oLRP measured"] == f"{sum(errors) / 2:.1f}"
    assert float(row["oLRP deviation"]) == pytest.approx(
        abs(errors[0] - errors[1]) / 2**0.5, abs=6e-3
    )


def test_again_there_is_nothing_to_do(seeded):
    project, *_ = seeded
    run = project.snakemake("smoke")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout


def test_new_rows_have_a_folder_per_seed(project):
    options = ("--quiet", "host", "--printshellcmds", "--config", "seeds=[3,4]")
    run = project.snakemake("smoke", "--dry-run", *options)
    assert run.returncode == 0, run.stdout
    commands = re.findall(r"Shell command: (rankdet train .*)", run.stdout)
    assert len(commands) == 4
    for seed in (3, 4):
        found = [each for each in commands if f"--seed {seed} " in each]
        assert len(found) == 2
        for each in found:
            entry = each.split()[2]
            assert f"--work-dir work/smoke/{entry}/seed-{seed} " in each
            assert f"--out results/smoke/{entry}/seed-{seed}/checkpoint.pth" in each


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("seeds=[]", "seeds"),
        ("seeds=[1,1]", "seeds"),
        ("seeds=[-1]", "seeds"),
        ("seeds=two", "seeds"),
        ("presets={smoke: {row_seeds: {rs_atss_r5: [1]}}}", "got 'rs_atss_r5'; nearest"),
    ],
)
def test_wrong_seeds_stop_before_the_dag(project, setting, words):
    run = project.snakemake("smoke", "--dry-run", "--config", setting)
    assert run.returncode != 0 and words in run.stdout
    assert "Traceback (most recent call last)" not in run.stdout
