"""Rows of LVIS and Cityscapes run on their own data where the preset has such."""

import pytest


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
