"""Run one evaluator on one data set in its own process: CPU seconds, peak memory, metrics.

``python -m benchmarks.evaluation_run NAME FOLDER IOU_TYPE`` prints one JSON line.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import time
from pathlib import Path

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def peak_mib() -> float:
    """Peak resident memory of this program alone (ru_maxrss would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


class Stages:
    """CPU time of all threads between marks."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.process_time()

    def mark(self, name: str) -> None:
        """End the stage ``name``."""
        now = time.process_time()
        self.seconds[name] = now - self._last
        self._last = now


def rankdet_from_files(annotations: Path, detections: Path, iou_type: str, stages_of) -> list:
    from rankdet.evaluation import evaluate, read_detections, read_ground_truth

    stages = stages_of()
    truth = read_ground_truth(annotations, (iou_type,))
    found = read_detections(detections)
    stages.mark("read")  # JSON to columns in blocks: reading and preparing are one step
    stages.mark("prepare")
    metrics = evaluate(truth, found, iou_type)
    stages.mark("evaluate")
    return [metrics.numbers[name] for name in NAMES], metrics.numbers["oLRP"]


def rankdet_from_objects(annotations: Path, detections: Path, iou_type: str, stages_of) -> list:
    from rankdet.evaluation import evaluate, read_detections, read_ground_truth

    stages = stages_of()
    document, rows = json.loads(annotations.read_text()), json.loads(detections.read_text())
    stages.mark("read")
    truth, found = read_ground_truth(document, (iou_type,)), read_detections(rows)
    stages.mark("prepare")
    metrics = evaluate(truth, found, iou_type)
    stages.mark("evaluate")
    return [metrics.numbers[name] for name in NAMES], metrics.numbers["oLRP"]


def _toolkit(coco, evaluator, annotations: Path, detections: Path, iou_type: str, stages) -> list:
    document, rows = json.loads(annotations.read_text()), json.loads(detections.read_text())
    stages.mark("read")
    truth = coco()
    truth.dataset = document
    truth.createIndex()
    found = truth.loadRes(rows)
    stages.mark("prepare")
    judge = evaluator(truth, found, iou_type)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    stages.mark("evaluate")
    return list(judge.stats[:12]), None


def pycocotools(annotations: Path, detections: Path, iou_type: str, stages_of) -> list:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return _toolkit(COCO, COCOeval, annotations, detections, iou_type, stages_of())


def faster_coco_eval(annotations: Path, detections: Path, iou_type: str, stages_of) -> list:
    from faster_coco_eval import COCO, COCOeval_faster

    return _toolkit(COCO, COCOeval_faster, annotations, detections, iou_type, stages_of())


EVALUATORS = {
    "rankdet": rankdet_from_files,
    "rankdet (objects)": rankdet_from_objects,
    "pycocotools": pycocotools,
    "faster-coco-eval": faster_coco_eval,
}


def main(name: str, folder: str, iou_type: str) -> None:
    stages: list[Stages] = []

    def start() -> Stages:
        stages.append(Stages())  # after the imports of the evaluator
        return stages[-1]

    paths = (Path(folder) / "annotations.json", Path(folder) / "detections.json")
    wall = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        numbers, olrp = EVALUATORS[name](*paths, iou_type, start)
    result = {
        **stages[0].seconds,
        "wall": time.perf_counter() - wall,
        "peak_mib": peak_mib(),
        "numbers": [float(value) for value in numbers],
        "oLRP": olrp,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
