"""SIGKILL of Snakemake and all its jobs, then the same command again: it ends, and nothing is lost.

`make test` kills one run three times, `make test-heavy` thirty runs once each. No option, no
`--unlock`: what a user would type again.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow.project import ENTRIES, Project

# Just after such a file appeared: each is where one step hands over to the next.
EVENTS = (
    "data/prepared/digits-tiny/dataset.json",
    "work/demo/*/run_settings.json",
    "work/demo/*/iter_2.pth",
    "work/demo/*/finished.pth",
    "work/demo/*/finished.json",
    f"results/demo/{ENTRIES[0]}/checkpoint.pth",
    f"results/demo/{ENTRIES[1]}/run.json",
    "results/demo/*/detections.json",
    "results/demo/*/metrics.json",
    "results/demo/tables/*.tex",
    "results/demo/figures/*.png",
    "results/demo/report.html",
)
POINTS = 30
SEED = 7


def tiny_demo(folder):
    """The demo with two rows, eight images and four iterations: every step, less than a minute."""
    project = Project(folder)
    path = project.folder / "configs" / "pipeline.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["presets"]["demo"] = {"data": "digits-tiny", "entries": ENTRIES, "iterations": 4}
    path.write_text(yaml.safe_dump(settings))
    return project


def kill(project, target, mark=None, delay=0.0, jobs=True):
    """Start the plain command, SIGKILL it; return whether it was still running.

    Args:
        project: where.
        target: of the command.
        mark: wait for a new file of this pattern first.
        delay: seconds to wait then.
        jobs: kill its jobs too; otherwise they live on.
    """
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local", target]
    before = set(project.folder.glob(mark)) if mark else set()
    with (project.folder / "killed.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        while mark and process.poll() is None and set(project.folder.glob(mark)) <= before:
            time.sleep(0.01)
        end = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        was_running = process.poll() is None
        if was_running:
            (os.killpg if jobs else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    return was_running


def trainings(project):
    """Return {work directory: its record and its starts} of those that have finished."""
    return {
        path.parent.name: (path.read_bytes(), sorted(path.parent.glob("2*_*")))
        for path in project.folder.glob("work/*/*/finished.json")
        if (path.parent / "finished.pth").exists()
    }


def stopped(project):
    """Return the rows that a kill found in the middle of a training, after a checkpoint."""
    return {
        path.parent.name
        for path in project.folder.glob("work/*/*/last_checkpoint")
        if not (path.parent / "finished.json").exists()
    }


def leftovers(project):
    """Return what only a kill leaves: half files, locks, notes of what is incomplete."""
    found = [*project.folder.rglob("*.part"), *project.folder.rglob("work/*/*/running.*")]
    state = project.folder / ".snakemake"
    found += (state / "locks").glob("*")
    found += [path for path in (state / "rankdet").glob("*") if path.is_dir()]
    found += [path for path in (state / "incomplete").rglob("*") if path.is_file()]
    return [str(path.relative_to(project.folder)) for path in found]


def results(project, preset):
    """Return {file: content} of what two runs of the same settings must have in common."""
    folder = project.folder / "results" / preset
    names = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    same = {"tables", "metrics.json", "curves.json", "detections.json"}
    return {
        str(name): path.read_bytes() if same & set(name.parts) else b""
        for name, path in names.items()
    }


def check(project, preset, reference, finished, in_the_middle):
    """Run the plain command again and compare with an undisturbed run."""
    run = project.snakemake(preset)
    assert run.returncode == 0, run.stdout
    ends = trainings(project)
    assert {name: ends[name] for name in finished} == finished, "a finished training was repeated"
    for entry in in_the_middle:
        record = project.folder / "results" / preset / entry / "run.json"
        assert json.loads(record.read_text())["resumed"], "a training began anew"
    assert leftovers(project) == []
    assert results(project, preset) == reference
    assert "Nothing to be done" in project.snakemake(preset).stdout


def test_a_run_killed_three_times_ends_like_an_undisturbed_one(finished, tmp_path):
    project = Project(tmp_path / "project")
    marks = {  # seconds after which Snakemake dies, and whether its jobs do
        "work/smoke/*/run_settings.json": (0.0, False),
        "work/smoke/*/finished.json": (0.0, True),
        "results/smoke/*/metrics.json": (0.2, True),
    }
    ended, in_the_middle = {}, set()
    for mark, (delay, jobs) in marks.items():
        was_running = kill(project, "smoke", mark, delay, jobs)
        assert was_running, (project.folder / "killed.log").read_text()
        assert any(project.folder.glob(mark))
        ended |= trainings(project)
        in_the_middle |= stopped(project)
    assert leftovers(project), "no kill left anything: they prove nothing"
    in_the_middle -= set(ended)
    check(project, "smoke", results(finished, "smoke"), ended, in_the_middle)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run of the tiny demo that nobody kills, and the seconds that it took."""
    project = tiny_demo(tmp_path_factory.mktemp("undisturbed") / "project")
    begin = time.monotonic()
    run = project.snakemake("demo")
    assert run.returncode == 0, run.stdout
    return results(project, "demo"), time.monotonic() - begin


@pytest.mark.heavy
@pytest.mark.parametrize("point", range(POINTS))
def test_a_run_killed_at_any_point_ends_by_the_same_command(undisturbed, tmp_path, point):
    """Twelve points at events, the others spread evenly over the time of a run."""
    reference, seconds = undisturbed
    chance = random.Random(SEED + point)
    if point < len(EVENTS):
        mark, delay = EVENTS[point], chance.uniform(0, 0.05)
    else:
        share = (point - len(EVENTS) + chance.random()) / (POINTS - len(EVENTS))
        mark, delay = None, share * seconds
    project = tiny_demo(tmp_path / "project")
    while not kill(project, "demo", mark, delay):
        # This run was quicker than the undisturbed one.
        assert mark is None, (project.folder / "killed.log").read_text()
        shutil.rmtree(project.folder)
        project, delay = tiny_demo(tmp_path / "project"), 0.9 * delay
    ended = trainings(project)
    check(project, "demo", reference, ended, stopped(project) - set(ended))
