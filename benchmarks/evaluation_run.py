"""Run one evaluator on one data set in its own process: CPU seconds and metrics.

``python -m benchmarks.evaluation_run NAME FOLDER IOU_TYPE PROTOCOL`` prints one JSON line.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COCO = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
LVIS = (*COCO[:6], "APr", "APc", "APf", "AR300", "ARs", "ARm", "ARl")
OLRP = ("oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")
Numbers = dict[str, Any]


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


class Task:
    """What to evaluate; ``start`` begins to count the time, after the imports."""

    def __init__(self, folder: Path, iou_type: str, protocol: str) -> None:
        self.annotations, self.detections = folder / "annotations.json", folder / "detections.json"
        self.iou_type, self.is_lvis = iou_type, protocol == "lvis"
        self.protocol = protocol
        self.stages = Stages()

    def start(self) -> None:
        """Begin to count the time."""
        self.stages = Stages()

    def named(self, values: Any) -> Numbers:
        """Return the numbers of a summary in the order of the toolkits."""
        names = LVIS if self.is_lvis else COCO
        return dict(zip(names, map(float, values), strict=True))


def rankdet(task: Task) -> Numbers:
    from rankdet.evaluation import evaluate, read_detections, read_ground_truth

    task.start()
    truth = read_ground_truth(task.annotations, task.iou_type, task.protocol)
    found = read_detections(task.detections)
    task.stages.mark("read")
    numbers = evaluate(truth, found, task.iou_type).numbers
    task.stages.mark("evaluate")
    return numbers


def rankdet_from_objects(task: Task) -> Numbers:
    from rankdet.evaluation import evaluate, read_detections, read_ground_truth

    document, rows = (json.loads(p.read_text()) for p in (task.annotations, task.detections))
    task.start()
    truth = read_ground_truth(document, task.iou_type, task.protocol)
    found = read_detections(rows)
    task.stages.mark("read")
    numbers = evaluate(truth, found, task.iou_type).numbers
    task.stages.mark("evaluate")
    return numbers


def pycocotools(task: Task) -> Numbers:
    from pycocotools.coco import COCO as Coco
    from pycocotools.cocoeval import COCOeval

    task.start()
    truth = Coco(str(task.annotations))
    found = truth.loadRes(str(task.detections))
    task.stages.mark("read")
    judge = COCOeval(truth, found, task.iou_type)
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    task.stages.mark("evaluate")
    return task.named(judge.stats)


def lvis_api(task: Task) -> Numbers:
    import numpy as np

    np.float = float  # type: ignore[attr-defined]  # lvis 0.5.3 is older than NumPy 1.24
    import lvis

    task.start()
    truth = lvis.LVIS(str(task.annotations))
    found = lvis.LVISResults(truth, str(task.detections))
    task.stages.mark("read")
    judge = lvis.LVISEval(truth, found, task.iou_type)
    judge.run()
    task.stages.mark("evaluate")
    return {
        name.replace("@300", "300" * (name == "AR@300")): float(value)
        for name, value in judge.results.items()
    }


def faster_coco_eval(task: Task) -> Numbers:
    from faster_coco_eval import COCO as Coco
    from faster_coco_eval import COCOeval_faster

    task.start()
    truth = Coco(str(task.annotations))
    found = truth.loadRes(str(task.detections))
    task.stages.mark("read")
    judge = COCOeval_faster(truth, found, task.iou_type, lvis_style=task.is_lvis)
    judge.run()
    task.stages.mark("evaluate")
    if not task.is_lvis:
        return task.named(judge.stats[:12])
    stats = judge.stats_as_dict
    sizes = {name: stats[f"AR_{size}"] for name, size in zip(LVIS[10:], SIZES, strict=True)}
    frequencies = {name: stats[name] for name in LVIS[6:9]}
    return {
        **dict(zip(LVIS[:6], map(float, judge.stats[:6]), strict=True)),
        **frequencies,
        "AR300": stats["AR_third"],
        **sizes,
    }


SIZES = ("small", "medium", "large")


def hotcoco(task: Task) -> Numbers:
    from hotcoco import COCO as Coco
    from hotcoco import COCOeval

    task.start()
    truth = Coco(str(task.annotations))
    found = truth.load_res(str(task.detections))
    task.stages.mark("read")
    judge = COCOeval(truth, found, task.iou_type, lvis_style=task.is_lvis)
    judge.run()
    task.stages.mark("evaluate")
    return task.named(judge.stats)


def ultrafast_pycocotools(task: Task) -> Numbers:
    from ultrafast_pycocotools import COCO as Coco
    from ultrafast_pycocotools import COCOeval

    task.start()
    truth = Coco(str(task.annotations))
    found = truth.loadRes(str(task.detections))
    task.stages.mark("read")
    judge = COCOeval(truth, found, task.iou_type, lvis_style=task.is_lvis)
    judge.run()
    task.stages.mark("evaluate")
    return task.named(judge.stats)


def vernier(task: Task) -> Numbers:
    from vernier import _core
    from vernier.instance import Bbox, CocoDataset, Evaluator, Segm, optimal_lrp

    task.start()
    read = CocoDataset.from_lvis_json if task.is_lvis else CocoDataset.from_json
    truth, found = read(task.annotations.read_bytes()), task.detections.read_bytes()
    task.stages.mark("read")
    overlap = Bbox() if task.iou_type == "bbox" else Segm()
    if task.is_lvis:
        grid = _core.evaluate_bbox_grid(
            truth, found, parity_mode="strict", max_dets_per_image=300, use_cats=True, num_threads=1
        )
        summary = grid.accumulate([300]).summarize_lvis(truth, [300])
        task.stages.mark("evaluate")
        return task.named(summary.stats)
    summary = Evaluator(iou=overlap, parity_mode="strict").evaluate(truth, found, num_threads=1)
    task.stages.mark("evaluate")
    report = optimal_lrp(truth, found, iou=overlap, parity_mode="strict")
    task.stages.mark("oLRP")
    own = dict(zip(OLRP, (report.olrp, report.loc, report.fp, report.fn), strict=True))
    return {**task.named(summary.stats), **own}


# Name, package, function; the package that is the reference of a protocol comes first.
EVALUATORS: dict[str, tuple[str, Callable[[Task], Numbers]]] = {
    "pycocotools": ("pycocotools", pycocotools),
    "lvis-api": ("lvis", lvis_api),
    "rankdet": ("rankdet", rankdet),
    "rankdet, parsed JSON given": ("rankdet", rankdet_from_objects),
    "hotcoco": ("hotcoco", hotcoco),
    "ultrafast-pycocotools": ("ultrafast-pycocotools", ultrafast_pycocotools),
    "vernier": ("vernier", vernier),
    "faster-coco-eval": ("faster-coco-eval", faster_coco_eval),
}


def main(name: str, folder: str, iou_type: str, protocol: str) -> None:
    task = Task(Path(folder), iou_type, protocol)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            numbers = EVALUATORS[name][1](task)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
    else:
        print(json.dumps({"seconds": task.stages.seconds, "numbers": numbers}))


if __name__ == "__main__":
    main(*sys.argv[1:])
