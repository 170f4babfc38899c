"""A study of the workflow's own folder: its jobs, and how often Snakemake looks at them."""

import pytest
import yaml

from tests.workflow.project import Project

METHODS = ("study_atss_bce", "study_frcnn_ce")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A project with a study that the installed rankdet does not have."""
    project = Project(tmp_path_factory.mktemp("studies") / "project")
    path = project.folder / "configs" / "studies.yaml"
    studies = yaml.safe_load(path.read_text())
    given = studies["imbalance"]
    studies["mine"] = given | {
        "train_images": 3,
        "val_images": 2,
        "methods": {name: given["methods"][name] for name in METHODS},
    }
    path.write_text(yaml.safe_dump(studies))
    return project, studies["mine"]


def test_every_method_is_planned_on_every_set(own):
    project, study = own
    plan = project.planned("results/studies/mine/report.html")
    tried = len(METHODS) * len(study["learning_rates"])
    measured = len(METHODS) * len(study["sets"]) * len(study["seeds"])
    assert plan["train"] == tried + measured and plan["calibrate"] == measured
    assert plan["study_digits"] == len(study["sets"]) + 1


# With Snakemake's default rate of starts it looks once a second for each job that has ended.
def test_snakemake_looks_at_ready_jobs_when_a_job_ends(own):
    project, study = own
    sets = [f"data/prepared/mine-{each}/dataset.json" for each in study["sets"]]
    run = project.snakemake(*sets, "--cores", "1", "--verbose")
    assert run.returncode == 0, run.stdout
    assert len(sets) <= run.stdout.count("Ready jobs: ") <= 2 * len(sets), run.stdout
    assert len(list((project.folder / sets[0]).parent.glob("train/*.jpg"))) == 3
