"""What tests of several folders share: a copy of the workflow, and one complete tiny run of it."""

import os

# Several workers and the processes of many tests share the cores. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.workflow.project import Project


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("workflow") / "project")


@pytest.fixture(scope="session")
def finished(project):
    """The project after one complete run of the tiny target."""
    run = project.snakemake("smoke")
    assert run.returncode == 0, run.stdout
    return project


def pytest_collection_modifyitems(items):
    """Keep a file's tests in one worker, for their fixtures; one machine has one Slurm."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group("slurm" if folder == "slurm" else str(item.path)))
