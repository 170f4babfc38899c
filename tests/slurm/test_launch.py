"""A training on two nodes: one launcher a node, started by srun, one group of processes."""

import json
import subprocess

import pytest

from tests.slurm.conftest import jobs, log_of, start
from tests.workflow.project import Project

pytestmark = pytest.mark.slurm
ENTRY = "rs_atss_r50"


def test_two_processes_on_two_nodes_train_together(cluster, tmp_path):
    project = Project(tmp_path / "project")
    rows = {f"smoke/{ENTRY}": {"train": {"processes": 2, "nodes": 2}}}
    process = start(project, f"results/smoke/{ENTRY}/checkpoint.pth", rows=rows)
    try:
        assert process.wait(timeout=300) == 0, log_of(project)
    finally:
        process.terminate()
    record = json.loads((project.folder / f"results/smoke/{ENTRY}/run.json").read_text())
    assert (record["processes"], record["batch_size"], record["iterations"]) == (2, 2, 2)
    job = next(job for job in jobs(project) if job["comment"].startswith("rule_train"))
    assert job["node"] == "gpu[01-02]"


def test_gres_is_asked_for_where_a_site_wants_it(cluster):
    """The three ways to ask for a GPU, as sbatch takes them, alone."""
    for option in ("--gpus=h100:1", "--gres=gpu:h100:1", "--gpus-per-node=h100:1"):
        run = subprocess.run(
            ["srun", option, "--time=1", "bash", "-c", "echo gpu $CUDA_VISIBLE_DEVICES"],
            text=True,
            capture_output=True,
            timeout=400,
        )
        assert run.returncode == 0 and run.stdout.strip() == "gpu 0", run.stderr
