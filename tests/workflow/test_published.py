"""Published weights stand in for training: fetched, converted, evaluated, in the same tables."""

import collections
import csv
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.parity.test_state_dicts import folder as lists
from tests.parity.test_state_dicts import shapes
from tests.reliability.server import Behaviour, FileServer
from tests.workflow.project import Project

PAGE = "<!DOCTYPE html><title>Google Drive - Quota exceeded</title>"
# One model that comes, one whose host sends a page, one that nobody published.
ENTRIES = ["rs_atss_r50", "rs_paa_r50", "pap_pap_retinanet_r50"]


def official_model(path):
    """A file as the official repository has it, with constant weights."""
    state = collections.OrderedDict()
    for name, shape in shapes(lists() / "rs_atss_r50.csv.gz").items():
        size = [int(side) for side in shape.split("x") if side]
        kind = torch.int64 if name.endswith("num_batches_tracked") else torch.float32
        value = 1.0 if name.endswith("running_var") else 1e-3
        state[name] = torch.full(size, value).to(kind)
    torch.save({"meta": {"mmdet_version": "2.3.0"}, "state_dict": state}, path)
    return path.read_bytes()


def small_coco(root):
    """Two images with COCO's 80 classes."""
    (root / "annotations").mkdir(parents=True)
    categories = [{"id": i, "name": f"class {i}"} for i in range(1, 81)]
    for split in ("train", "val"):
        (root / split).mkdir()
        images = [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in (1, 2)]
        boxes = [
            {"id": i, "image_id": i, "category_id": i, "bbox": [5, 5, 20, 20], "area": 400}
            for i in (1, 2)
        ]
        for row in boxes:
            row.update(iscrowd=0, segmentation=[[5, 5, 25, 5, 25, 25, 5, 25]])
        for row in images:
            pixels = np.random.default_rng(row["id"]).integers(0, 255, (40, 60, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / row["file_name"])
        content = {"images": images, "annotations": boxes, "categories": categories}
        (root / f"annotations/instances_{split}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def server():
    server = FileServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory, server):
    folder = tmp_path_factory.mktemp("published")
    project = Project(folder / "project")
    pipeline = project.folder / "configs/pipeline.yaml"
    settings = yaml.safe_load(pipeline.read_text())
    settings["presets"]["published"] = dict(entries=ENTRIES, threads=1, gpu=0)
    settings["coco"] = str(folder / "coco")
    pipeline.write_text(yaml.safe_dump(settings))
    small_coco(folder / "coco")
    server.files["good.pth"] = Behaviour(official_model(folder / "official.pth"))
    server.files["page.pth"] = Behaviour(b"", page=PAGE)
    table = project.folder / "configs/checkpoints.csv"
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    urls = {"rs_atss_r50": server.url("good.pth"), "rs_paa_r50": server.url("page.pth")}
    for row in rows:
        row["model_url"] = urls.get(row["entry_id"], row["model_url"])
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return project


@pytest.fixture(scope="module")
def finished(project):
    run = project.snakemake("tables", "--config", "weights=published")
    assert run.returncode == 0, run.stdout
    return project


def test_what_is_published_is_evaluated(finished):
    results = finished.folder / "results/published"
    metrics = json.loads((results / "rs_atss_r50/metrics.json").read_text())
    assert 0 <= metrics["bbox"]["AP"] <= 1
    run = json.loads((results / "rs_atss_r50/run.json").read_text())
    assert run["preset"] == "published" and run["data"]["name"] == "coco"
    status = json.loads((results / "rs_atss_r50/weights.json").read_text())
    assert run["weights"]["sha256"] == status["sha256"]
    table = (results / "tables/rank-sort-one-stage.md").read_text()
    assert "official trained models" in table


def test_what_is_missing_is_shown_with_its_reason(finished):
    results = finished.folder / "results/published"
    table = (results / "tables/rank-sort-one-stage.csv").read_text()
    assert "missing: an HTML page (Google Drive - Quota exceeded)" in table
    models = json.loads((results / "all.models.json").read_text())
    assert [model["entry"] for model in models["available"]] == ["rs_atss_r50"]
    assert "no trained model was published" in next(
        model["reason"] for model in models["missing"] if model["entry"].startswith("pap_")
    )
    assert not (results / "rs_paa_r50/metrics.json").exists()


def test_again_there_is_nothing_to_do(finished):
    run = finished.snakemake("tables", "--config", "weights=published")
    assert run.returncode == 0 and "Nothing to be done" in run.stdout, run.stdout


def test_a_file_in_the_inbox_is_looked_at(finished):
    inbox = finished.folder / "data/inbox"
    inbox.mkdir()
    dropped = inbox / "rs_paa_r50.pth"
    dropped.write_text(PAGE)
    try:
        plan = finished.planned("tables", "--config", "weights=published")
    finally:
        dropped.unlink()
        inbox.rmdir()
    assert plan["published_model"] == 1 and "convert" not in plan


def test_a_row_that_is_missing_says_why(finished):
    run = finished.snakemake("results/published/rs_paa_r50/metrics.json")
    assert run.returncode != 0
    assert "Quota exceeded" in run.stdout and "weights.json" in run.stdout
