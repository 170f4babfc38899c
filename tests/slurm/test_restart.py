"""A killed Snakemake, a queue's limit: the old job is waited for, the new one goes on from it."""

import re
import signal

import pytest
import yaml

from tests.slurm.conftest import jobs, running, start, wait_for
from tests.workflow.project import Project

pytestmark = pytest.mark.slurm
ENTRY = "rs_atss_r50"
TARGET = f"results/demo/{ENTRY}/checkpoint.pth"
COMMENT = f"rule_train_wildcards_demo_{ENTRY}_"  # the seed is empty
ONE_MINUTE = {f"demo/{ENTRY}": {"train": {"runtime": 1}}}


@pytest.fixture
def project(tmp_path):
    """The demo on few images: its training takes longer than the minute that its job gets."""
    project = Project(tmp_path / "project")
    path = project.folder / "configs" / "pipeline.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["digits"] |= {"train_images": 16, "val_images": 4}
    path.write_text(yaml.safe_dump(settings))
    return project


def test_the_next_snakemake_waits_for_the_job_that_still_runs(cluster, project):
    process = start(project, TARGET, rows=ONE_MINUTE)
    work = project.folder / "work" / "demo" / ENTRY
    old = wait_for(lambda: running(project, COMMENT), process)
    wait_for(lambda: (work / "running.json").exists(), process)
    process.kill()
    process.wait()
    again = start(project, TARGET, rows=ONE_MINUTE)
    try:
        new = wait_for(lambda: other(project, old), again)
        assert (new["state"], new["reason"]) == ("PENDING", "Dependency")
        assert running(project, COMMENT)["id"] == old["id"]
        # The old one stops before its minute is over, with a checkpoint; then the new one begins.
        saved = wait_for(lambda: list(work.glob("stopped_*.pth")), again)[0]
        iteration = re.search(r"\d+", saved.name)[0]
        log = project.folder / "logs" / "demo" / ENTRY / "train.log"
        resumed = f"resumed epoch: 0, iter: {iteration}"
        wait_for(lambda: log.exists() and resumed in log.read_text(), again)
        assert running(project, COMMENT)["id"] == new["id"]
    finally:
        again.send_signal(signal.SIGINT)
        again.wait(timeout=400)
    wait_for(lambda: not [job for job in jobs(project) if job["state"] in ("RUNNING", "PENDING")])


def other(project, old):
    """Return the job of the same training that is not ``old``; None without one."""
    rows = [job for job in jobs(project) if job["comment"] == COMMENT and job["id"] != old["id"]]
    return rows[0] if rows else None
