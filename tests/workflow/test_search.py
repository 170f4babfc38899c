"""A search on the DAG: planned jobs, killed and resumed, ends where an undisturbed one ends."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow.project import Project

TARGET = "results/search/tiny/found.json"
TINY = dict(
    entry="pap_pap_retinanet_r50",
    heads=["retina"],
    preset="demo",
    data="digits-tiny",
    val_images=3,
    rounds=2,
    samples=2,
    seed=0,
    iterations=2,
    batch_size=2,
)


def project_in(folder):
    project = Project(folder)
    (project.folder / "configs" / "searches.yaml").write_text(yaml.safe_dump({"tiny": TINY}))
    return project


@pytest.fixture(scope="module")
def search_project(tmp_path_factory):
    return project_in(tmp_path_factory.mktemp("search") / "project")


def test_every_proxy_and_every_update_is_a_job(search_project):
    plan = search_project.planned(TARGET, "results/search/tiny/search.md")
    expected = {"search_start": 1, "search_sample": 4, "search_update": 2, "search_finish": 1}
    assert {name: plan[name] for name in expected} == expected


def test_the_papers_search_is_320_trainings_and_40_updates(tmp_path):
    project = Project(tmp_path / "project")
    coco = tmp_path / "project/data/prepared/coco/dataset.json"
    coco.parent.mkdir(parents=True)
    coco.write_text("{}")
    plan = project.planned("results/search/retinanet/found.json")
    assert (plan["search_sample"], plan["search_update"]) == (320, 40)


def test_an_unknown_search_is_answered_with_the_known_ones(search_project):
    run = search_project.snakemake("--dry-run", "results/search/tinny/found.json")
    assert run.returncode != 0 and "nearest: tiny" in run.stdout


def killed(project, target, mark, delay):
    """Start Snakemake and SIGKILL it and all its jobs ``delay`` s after a file like ``mark``."""
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local", target]
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not any(project.folder.glob(mark)):
        time.sleep(0.1)
    time.sleep(delay)
    was_running = process.poll() is None
    if was_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return was_running


# In the trainings of the first round, in those of the second, and before its last update.
MARKS = ("work/search/tiny/000-*", "work/search/tiny/001-*", "results/*/tiny/round-001/sample-*")


def finished_samples(project):
    """Return the time at which each finished sample was finished, by its work directory."""
    copies = project.folder.glob("work/search/tiny/*/sample.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in copies}


@pytest.mark.heavy
def test_a_search_killed_three_times_ends_with_the_same_policy(search_project, tmp_path):
    run = search_project.snakemake(TARGET)
    assert run.returncode == 0, run.stdout
    broken = project_in(tmp_path / "project")
    chance, done = random.Random(0), {}
    for mark in MARKS:
        assert killed(broken, TARGET, mark, chance.uniform(0, 3))
        done |= finished_samples(broken)
    run = broken.snakemake(TARGET)
    assert run.returncode == 0, run.stdout
    assert finished_samples(broken) | done == finished_samples(broken), "a sample was run twice"
    for name in [f"round-00{turn}/state.json" for turn in range(3)] + ["found.py"]:
        paths = [each.folder / "results/search/tiny" / name for each in (search_project, broken)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
