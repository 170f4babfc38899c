"""The evaluator as an mmdet metric, so that training logs show AP and oLRP together."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from pycocotools import mask as mask_tools

from rankdet.errors import InputError, shown
from rankdet.evaluation import Detections, GroundTruth, evaluate, read_ground_truth
from rankdet.evaluation.columns import PROTOCOLS, choose, chosen_iou_types
from rankdet.evaluation.reading import read_document
from rankdet.outputs import write_json


@METRICS.register_module()
class RankdetMetric(BaseMetric):
    """AP, AR and oLRP of predictions by `rankdet.evaluation.evaluate`.

    The keys are ``rankdet/<iou type>/<name>``, such as ``rankdet/bbox/oLRP``; numbers are 0-1, and
    those of which the annotations hold nothing are left out.

    Args:
        ann_file: COCO or LVIS v1 annotations of the validation images.
        iou_types: "bbox", "segm" or both. With "bbox" among them the results hold boxes, and box
            areas decide small, medium and large for masks too (mmdetection before 2.12).
        protocol: "coco" or "lvis".
        out_file: also write the standard COCO results JSON here.
        category_ids: of the labels 0, 1, ...; without them labels count the dataset's classes in
            the order of ``ann_file``, as in mmdet's data set. Only these categories are evaluated.
        collect_device: of mmengine's metrics, where the results of several processes meet.
        prefix: of the keys, in place of ``rankdet``.

    Raises:
        InputError: if ``iou_types`` or ``protocol`` are unknown; in the evaluation, if the
            dataset's classes, ``category_ids`` and ``ann_file`` disagree.
    """

    default_prefix = "rankdet"

    def __init__(
        self,
        ann_file: str,
        iou_types: str | Sequence[str] = ("bbox",),
        protocol: Literal["coco", "lvis"] = "coco",
        out_file: str | None = None,
        category_ids: Sequence[int] | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.ann_file = ann_file
        self.iou_types: list[Any] = list(chosen_iou_types(iou_types))
        choose("protocol", protocol, PROTOCOLS)
        self.protocol = protocol
        self.out_file = out_file
        self.category_ids = None if category_ids is None else [int(each) for each in category_ids]
        self._known: tuple[Any, GroundTruth, np.ndarray] | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what is needed of each image: boxes x, y, w, h, scores, labels, masks as RLE."""
        for sample in data_samples:
            predicted = sample["pred_instances"]
            corners = _array(predicted["bboxes"]).reshape(-1, 4)
            result = {
                "img_id": int(sample["img_id"]),
                "box": np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]),
                "score": _array(predicted["scores"]),
                "label": _array(predicted["labels"]).astype(np.int64),
            }
            if "segm" in self.iou_types:
                result["rle"] = _encoded(predicted["masks"])
            self.results.append(result)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluate the predictions of all images."""
        ground_truth, category_ids = self._annotations()
        found = self._detections(results, category_ids)
        if self.out_file is not None:
            write_json(self.out_file, _rows(found), indent=None)
        metrics: dict[str, float] = {}
        for iou_type in self.iou_types:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                numbers = evaluate(ground_truth, found, iou_type).numbers
            for warning in caught:
                print_log(str(warning.message), logger="current", level=logging.WARNING)
            present = {name: value for name, value in numbers.items() if value is not None}
            metrics.update({f"{iou_type}/{name}": value for name, value in present.items()})
        return metrics

    def _annotations(self) -> tuple[GroundTruth, np.ndarray]:
        """Return the annotations and the category id of each label; the file is read once."""
        classes = (self.dataset_meta or {}).get("classes")
        if self._known is None or self._known[0] != classes:
            document = dict(read_document(Path(self.ann_file), "an annotation file"))
            rows = document["categories"] = self._categories(document["categories"], classes)
            truth = read_ground_truth(document, self.iou_types, self.protocol)
            self._known = classes, truth, np.array([row["id"] for row in rows], dtype=np.int64)
        return self._known[1:]

    def _categories(self, rows: list[dict], classes: Sequence[str] | None) -> list[dict]:
        """Return the categories of the labels 0, 1, ... among the ``rows`` of the file."""
        name = Path(self.ann_file).name
        if self.category_ids:
            return _categories_of_ids(rows, self.category_ids, classes, name)
        if classes is None:
            return rows
        found = [row for row in rows if row["name"] in set(classes)]
        if len(found) != len(classes):
            raise InputError(
                f"the {len(classes)} classes of the dataset in {name}",
                f"{len(found)} of them",
                "make the dataset's metainfo and the annotations agree",
            )
        return found

    def _detections(self, results: list[dict], category_ids: np.ndarray) -> Detections:
        score = np.concatenate([np.zeros(0), *(result["score"] for result in results)])
        box = np.concatenate([np.zeros((0, 4)), *(result["box"] for result in results)])
        if not (np.isfinite(score).all() and np.isfinite(box).all()):
            raise InputError(
                "finite scores and boxes", "NaN or infinity", "look at the losses: it has diverged"
            )
        label = np.concatenate([[], *(result["label"] for result in results)]).astype(np.int64)
        if len(label) and label.max() >= len(category_ids):
            raise InputError(
                f"labels below {len(category_ids)}, the classes of the annotations",
                str(label.max()),
                "set num_classes of the heads to the dataset's",
            )
        counts = [len(result["score"]) for result in results]
        return Detections(
            image_id=np.repeat(np.array([r["img_id"] for r in results], dtype=np.int64), counts),
            category_id=category_ids[label],
            score=score,
            box=box if "bbox" in self.iou_types else None,
            segmentation=(
                [rle for result in results for rle in result["rle"]]
                if "segm" in self.iou_types
                else None
            ),
        )


def _categories_of_ids(
    rows: list[dict], ids: list[int], classes: Sequence[str] | None, name: str
) -> list[dict]:
    """Return the categories ``ids`` of the file ``name``, which are those of ``classes``."""
    by_id = {row["id"]: row for row in rows}
    unknown = [each for each in ids if each not in by_id]
    if unknown or len(set(ids)) < len(ids):
        got = f"unknown ids: {unknown[:3]}" if unknown else "an id twice"
        raise InputError(
            f"category_ids as unique ids of {name}", got, "list its ids, one per label"
        )
    found = [by_id[each] for each in ids]
    if classes is None:
        return found
    names = [row.get("name") for row in found]
    # The dataset may name classes differently, but not in another order.
    is_known = set(classes) <= {row.get("name") for row in rows}
    if len(classes) != len(ids) or (is_known and names != list(classes)):
        raise InputError(
            f"category_ids of the dataset's {len(classes)} classes: {shown(list(classes))}",
            f"the ids of {len(ids)}: {shown(names)}",
            "list one id per class, in the order of the classes, or omit category_ids",
        )
    return found


def _array(value: Any) -> np.ndarray:
    """Return a tensor or array as float64: the numbers that a JSON file would give back."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value, dtype=np.float64)


def _encoded(masks: Any) -> list[dict[str, Any]]:
    """Return masks [N, H, W] (or RLEs already) as RLE dictionaries that JSON can hold."""
    if isinstance(masks, torch.Tensor):
        masks = masks.detach().cpu().numpy()
    if isinstance(masks, np.ndarray):
        fortran = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
        masks = mask_tools.encode(fortran) if fortran.shape[2] else []
    return [
        {
            "size": list(rle["size"]),
            "counts": rle["counts"].decode("ascii")
            if isinstance(rle["counts"], bytes)
            else rle["counts"],
        }
        for rle in masks
    ]


def _rows(found: Detections) -> list[dict[str, Any]]:
    """Return the standard COCO results array."""
    columns: dict[str, list] = {
        "image_id": found.image_id.tolist(),
        "category_id": found.category_id.tolist(),
    }
    if found.box is not None:
        columns["bbox"] = found.box.tolist()
    columns["score"] = found.score.tolist()
    if found.segmentation is not None:
        columns["segmentation"] = list(found.segmentation)
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
