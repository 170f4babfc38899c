"""What tests of several folders share: a copy of the workflow, and one complete tiny run of it."""

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
