"""The DAG through a real Slurm gives what it gives without, whatever happens to jobs and nodes."""

import json
import subprocess

import pytest
import torch

from tests.slurm.conftest import end_processes, jobs, log_of, running, start, wait_for
from tests.workflow.project import ENTRIES, Project

pytestmark = pytest.mark.slurm
ON_GPU = {
    f"smoke/{entry}": {rule: {"gpu": 1} for rule in ("train", "predict")} for entry in ENTRIES
}


def running_job(project, process, entry):
    return wait_for(lambda: running(project, f"train_wildcards_smoke_{entry}_"), process)


def has_trained(project, entry):
    """Return whether a first iteration is done."""
    path = project.folder / "work" / "smoke" / entry / "training.jsonl"
    return path.exists() and path.stat().st_size > 0


def state_of(project, job_id):
    return {job["id"]: job["state"] for job in jobs(project)}[job_id]


@pytest.fixture(scope="module")
def disturbed(cluster, tmp_path_factory):
    """The tiny target through Slurm; a training is cancelled, the node of another goes down."""
    project = Project(tmp_path_factory.mktemp("slurm") / "project")
    process = start(project, "smoke", rows=ON_GPU)
    try:
        first, second = (running_job(project, process, entry) for entry in ENTRIES)
        wait_for(lambda: has_trained(project, ENTRIES[0]), process)
        subprocess.run(["scancel", first["id"]], check=True)
        node = ["scontrol", "update", f"nodename={second['node']}"]
        subprocess.run([*node, "state=down", "reason=test"], check=True)
        wait_for(lambda: state_of(project, second["id"]) != "RUNNING", process)
        # It may be back in service by itself, when its daemon reports.
        subprocess.run([*node, "state=resume"], stderr=subprocess.DEVNULL)
        assert process.wait(timeout=400) == 0, log_of(project)
    finally:
        process.terminate()
        process.wait()
        end_processes(project)
    return project, first, second


def test_both_were_survived(disturbed):
    project, cancelled, lost = disturbed
    assert state_of(project, cancelled["id"]) == "CANCELLED"
    assert state_of(project, lost["id"]) == "NODE_FAIL"
    assert log_of(project).count("Trying to restart") == 2
    for job in (cancelled, lost):
        same = [each["state"] for each in jobs(project) if each["comment"] == job["comment"]]
        assert sorted(same) == sorted([state_of(project, job["id"]), "COMPLETED"])


@pytest.mark.usefixtures("disturbed")
def test_gpu_rows_had_a_gpu_and_others_none():
    command = [
        "squeue",
        "--noheader",
        "--states=all",
        "--Format=Comment:80,tres-per-job:30,Partition:9",
    ]
    lines = subprocess.run(command, text=True, capture_output=True, check=True).stdout.splitlines()
    rows = {words[0]: words[1:] for words in map(str.split, lines)}
    for entry in ENTRIES:
        for rule in ("train", "predict"):
            given, where = rows[f"rule_{rule}_wildcards_smoke_{entry}_"]
            assert given == "gres:gpu:h100:1" and where == "gpu"
        given, where = rows[f"rule_evaluate_wildcards_smoke_{entry}_"]
        assert given == "N/A" and where == "cpu"


def test_the_results_are_those_without_slurm(disturbed, finished):
    project, *_ = disturbed
    for entry in ENTRIES:
        ours, local = (each.folder / "results/smoke" / entry for each in (project, finished))
        weights = [torch.load(p / "checkpoint.pth")["state_dict"] for p in (ours, local)]
        for name, value in weights[0].items():
            torch.testing.assert_close(value, weights[1][name], rtol=1e-5, atol=1e-6)
        metrics = [json.loads((p / "metrics.json").read_text()) for p in (ours, local)]
        assert metrics[0] == metrics[1]
    tables = [
        sorted((each.folder / "results/smoke/tables").iterdir()) for each in (project, finished)
    ]
    assert [path.name for path in tables[0]] == [path.name for path in tables[1]]
    for ours, local in zip(*tables, strict=True):
        assert ours.read_text() == local.read_text()


def test_then_there_is_nothing_to_do(disturbed):
    project, *_ = disturbed
    before = project.files()
    assert start(project, "smoke", rows=ON_GPU).wait(timeout=400) == 0
    assert "Nothing to be done" in log_of(project)
    assert project.files() == before
