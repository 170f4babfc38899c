"""Rows of LVIS and Cityscapes run on their own data where the preset has such."""

import pytest

from tests.unit.datasets.own import write_set


@pytest.mark.parametrize(
    ("target", "rules"),
    [
        ("demo/rs_mask_r50_lvis", {"digits_long_tail"}),
        ("demo/rs_mask_r50", {"digits"}),
        ("smoke/rs_mask_r50_lvis", {"digits_tiny"}),
        # What is fetched: LVIS and COCO's images, the backbone.
        ("paper/rs_mask_r50_lvis", {"lvis_folder", "data_set", "backbone"}),
        # Nobody can fetch Cityscapes; the row starts from a COCO model.
        ("paper/ext_br_rs_mask_r50_city", {"coco_folder", "backbone"}),
    ],
)
def test_the_data_that_a_row_is_made_from(project, target, rules):
    # All of it: another test may have prepared the data already.
    plan = project.planned("--forceall", f"results/{target}/metrics.json")
    data = set(plan) - {"train", "predict", "evaluate", "total"}
    assert data == rules


def test_cityscapes_is_not_coco(project):
    run = project.snakemake("--summary", "results/paper/ext_br_rs_mask_r50_city/metrics.json")
    assert "data/prepared/cityscapes/dataset.json" in run.stdout
    assert "data/prepared/coco/dataset.json" not in run.stdout


def test_edited_annotations_are_prepared_and_trained_again(project, tmp_path):
    root = write_set(tmp_path / "my data")
    target, options = "results/mini/rs_atss_r50/metrics.json", ("--config", f"mini={root}")
    prepared = "data/prepared/mini/dataset.json"
    assert project.planned(prepared, *options) == {"coco_folder": 1, "total": 1}
    run = project.snakemake(prepared, *options)
    assert run.returncode == 0, run.stdout
    before = (project.folder / prepared).read_text()
    assert "coco_folder" not in project.planned(target, *options)
    path = root / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace('"area": 1440', '"area": 1441'))
    plan = project.planned(target, *options)
    assert {"coco_folder", "train", "predict", "evaluate"} <= set(plan)
    run = project.snakemake(prepared, *options)
    assert run.returncode == 0, run.stdout
    assert (project.folder / prepared).read_text() != before
