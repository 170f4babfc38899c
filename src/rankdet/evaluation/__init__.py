"""AP, AR and oLRP for COCO and LVIS from one pass; numpy, msgspec and pycocotools.mask only."""

from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.evaluator import evaluate
from rankdet.evaluation.metrics import Metrics
from rankdet.evaluation.reading import read_detections, read_ground_truth

__all__ = [
    "Detections",
    "GroundTruth",
    "Metrics",
    "evaluate",
    "read_detections",
    "read_ground_truth",
]
