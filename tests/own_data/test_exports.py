"""The whole way of an export: prepare, train, predict, evaluate by the command's own functions."""

import json

import pytest

from rankdet.catalogue.presets import get_preset
from rankdet.datasets.coco import prepare_coco
from rankdet.evaluation import evaluate
from rankdet.training.predict import predict
from rankdet.training.run import Settings, train
from tests.own_data.exports import EXPORTS


@pytest.mark.parametrize("tool", EXPORTS)
def test_trains_and_is_measured(tool, tmp_path):
    options = EXPORTS[tool](tmp_path / "export")
    data = prepare_coco(tmp_path / "export", tmp_path / "ds" / "dataset.json", tool, **options)
    out = tmp_path / "out" / "checkpoint.pth"
    record = train(
        "rs_atss_r50", get_preset("smoke"), data, tmp_path / "work", out, Settings(workers=0)
    )
    assert record["data"]["train_images"] == 4 and record["data"]["name"] == tool
    losses = [json.loads(line) for line in (out.parent / "training.jsonl").read_text().splitlines()]
    assert losses and all(line["loss"] > 0 for line in losses)
    detections = tmp_path / "detections.json"
    predict("rs_atss_r50", get_preset("smoke"), data, out, detections, tmp_path / "w", workers=0)
    rows = json.loads(detections.read_text())
    assert {row["category_id"] for row in rows} <= set(data.category_ids)
    numbers = evaluate(data.annotations("val"), detections).numbers
    assert numbers["AP"] is not None and numbers["oLRP"] is not None
