"""Comparison with pycocotools, the reference: every number, for every class."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.errors import InputError
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.metrics import Metrics
from rankdet.evaluation.reading import read_document

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def _document(source: Any, what: str) -> Any:
    if isinstance(source, GroundTruth | Detections):
        raise InputError(
            f"{what} as a file or the parsed JSON, for pycocotools",
            f"a {type(source).__name__}",
            "give what it was read from",
        )
    return read_document(source, what) if isinstance(source, (str, Path)) else source


def pycocotools_numbers(
    annotations: str | Path | dict[str, Any],
    detections: str | Path | list[Any],
    iou_type: str,
) -> tuple[dict[str, float | None], dict[int, float | None]]:
    """Return the twelve numbers of pycocotools and its AP per category id."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    # pycocotools modifies its inputs and prints.
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = _copied(_document(annotations, "annotations"))
        for row in truth.dataset["annotations"]:
            row.setdefault("iscrowd", 0)
        truth.createIndex()
        rows = [dict(row) for row in _document(detections, "detections")]
        if not rows:
            return dict.fromkeys(NAMES), {}
        judge = COCOeval(truth, truth.loadRes(rows), iou_type)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    numbers = {name: _absent_as_none(value) for name, value in zip(NAMES, judge.stats, strict=True)}
    precision = judge.eval["precision"][:, :, :, 0, -1]
    per_class = {}
    for index, category_id in enumerate(judge.params.catIds):
        present = precision[:, :, index][precision[:, :, index] > -1]
        per_class[int(category_id)] = float(np.mean(present)) if present.size else None
    return numbers, per_class


def _listed(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in arguments.items())


def _copied(document: dict[str, Any]) -> dict[str, Any]:
    rows = [dict(row) for row in document["annotations"]]
    return {"info": {}, "licenses": [], **document, "annotations": rows}


def _absent_as_none(value: float) -> float | None:
    return None if value == -1 else float(value)


def differences(
    metrics: Metrics,
    annotations: str | Path | dict[str, Any],
    detections: str | Path | list[Any],
    iou_type: str,
) -> list[str]:
    """Return one line for each number that is not exactly equal to that of pycocotools.

    Without any detections pycocotools returns no numbers, so there is nothing to compare.

    Args:
        metrics: of `rankdet.evaluation.evaluate`.
        annotations: that they were computed from, a path or the parsed document.
        detections: likewise.
        iou_type: "bbox" or "segm".

    Returns:
        The lines; none if every number is equal.

    Raises:
        InputError: if the metrics are of another IoU type, protocol, area or limit than those that
            pycocotools computes.
    """
    comparable = dict(iou_type=iou_type, protocol="coco", area="auto", limits=(1, 10, 100))
    if metrics.arguments != comparable:
        raise InputError(
            f"metrics evaluated with {_listed(comparable)}, to compare with pycocotools",
            f"metrics of {_listed(metrics.arguments)}",
            "evaluate again with these arguments",
        )
    numbers, per_class = pycocotools_numbers(annotations, detections, iou_type)
    if not per_class:
        return []
    lines = [
        f"{iou_type} {name}: {metrics.numbers[name]!r}, pycocotools {value!r}"
        for name, value in numbers.items()
        if metrics.numbers[name] != value
    ]
    for row in metrics.per_class:
        value = per_class[row["category_id"]]
        if row["AP"] != value:
            lines.append(f"{iou_type} AP of {row['name']}: {row['AP']!r}, pycocotools {value!r}")
    return lines


def check(
    metrics: Metrics,
    annotations: str | Path | dict[str, Any],
    detections: str | Path | list[Any],
    iou_type: str,
) -> None:
    """Compare with pycocotools.

    Args:
        metrics: of `rankdet.evaluation.evaluate`.
        annotations: that they were computed from, a path or the parsed document.
        detections: likewise.
        iou_type: "bbox" or "segm".

    Raises:
        InputError: naming the first differences, if there are any; or if the metrics are of other
            arguments than those that pycocotools computes.
    """
    lines = differences(metrics, annotations, detections, iou_type)
    if lines:
        raise InputError(
            "the numbers of pycocotools",
            f"{len(lines)} differences: {'; '.join(lines[:4])}",
            "report this with the two files: one of the evaluators is wrong",
        )
