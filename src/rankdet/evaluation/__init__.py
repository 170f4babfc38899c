"""AP, AR and oLRP for COCO and LVIS from one pass; numpy, msgspec and pycocotools.mask only."""

import rankdet.evaluation._packages  # noqa: F401
from rankdet.evaluation.calibration import calibration_errors
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.drop_in import COCOeval
from rankdet.evaluation.evaluator import evaluate
from rankdet.evaluation.large_vocabulary import fixed_ap
from rankdet.evaluation.lvis_drop_in import LVISEval
from rankdet.evaluation.mean_average_precision import MeanAveragePrecision
from rankdet.evaluation.metrics import Metrics
from rankdet.evaluation.reading import read_detections, read_ground_truth
from rankdet.evaluation.slices import evaluate_slices
from rankdet.evaluation.statistics import Bootstrap, Interval, bootstrap
from rankdet.evaluation.tide import Tide, tide

__all__ = [
    "Bootstrap",
    "COCOeval",
    "Detections",
    "GroundTruth",
    "Interval",
    "LVISEval",
    "MeanAveragePrecision",
    "Metrics",
    "Tide",
    "bootstrap",
    "calibration_errors",
    "evaluate",
    "evaluate_slices",
    "fixed_ap",
    "read_detections",
    "read_ground_truth",
    "tide",
]
