"""AP, AR and oLRP for COCO and LVIS from one pass; numpy, msgspec and pycocotools.mask only."""

import rankdet.evaluation._packages  # noqa: F401
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.drop_in import COCOeval
from rankdet.evaluation.evaluator import evaluate
from rankdet.evaluation.mean_average_precision import MeanAveragePrecision
from rankdet.evaluation.metrics import Metrics
from rankdet.evaluation.reading import read_detections, read_ground_truth

__all__ = [
    "COCOeval",
    "Detections",
    "GroundTruth",
    "MeanAveragePrecision",
    "Metrics",
    "evaluate",
    "read_detections",
    "read_ground_truth",
]
