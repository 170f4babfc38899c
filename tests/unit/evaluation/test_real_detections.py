"""A real detector on real images: the known figures of pycocotools and the oLRP toolkit."""

import os
from pathlib import Path

import pytest

from rankdet.evaluation import evaluate

DATA = Path(os.environ.get("RANKDET_DATA") or Path(__file__).parents[4] / "shared/data")
ANNOTATIONS = DATA / "coco_real/annotations/instances_val.json"
DETECTIONS = DATA / "detections/fastestdet_352_val158_bbox.json"
KNOWN = {
    "AP": 0.164753,
    "AP50": 0.305831,
    "AP75": 0.174156,
    "oLRP": 0.847512,
    "oLRP_loc": 0.249949,
    "oLRP_fp": 0.356318,
    "oLRP_fn": 0.659684,
}


@pytest.mark.skipif(
    not (ANNOTATIONS.is_file() and DETECTIONS.is_file()),
    reason="needs the 158 real images' annotations and detections: set RANKDET_DATA",
)
def test_known_figures():
    numbers = evaluate(ANNOTATIONS, DETECTIONS).numbers
    assert {name: numbers[name] for name in KNOWN} == pytest.approx(KNOWN, abs=1e-6)
