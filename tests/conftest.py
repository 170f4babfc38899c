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


# Folders whose files take minutes. They begin first, so that no worker ends long after the others.
SLOW = ("workflow", "rehearsal", "reliability", "container", "slurm", "parallel", "smoke")


def pytest_collection_modifyitems(items):
    """Put slow folders in front."""
    ranks = {name: rank for rank, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, len(SLOW)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep a file's tests in one worker, for their fixtures; one machine has one Slurm."""
    from xdist.scheduler import LoadFileScheduling

    class OneFileOneWorker(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return "slurm" if file.startswith("tests/slurm/") else file

    return OneFileOneWorker(config, log)
