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

from rankdet.errors import InputError
from rankdet.evaluation import Detections, GroundTruth, evaluate, read_ground_truth
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
            the order of ``ann_file``, as in mmdet's data set.
        collect_device: of mmengine's metrics, where the results of several processes meet.
        prefix: of the keys, in place of ``rankdet``.
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
        self.iou_types: list[Any] = [iou_types] if isinstance(iou_types, str) else list(iou_types)
        self.protocol = protocol
        self.out_file = out_file
        self._ground_truth: GroundTruth | None = None
        self._category_ids = np.array(category_ids or [], dtype=np.int64)

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
        ground_truth = self._annotations()
        found = self._detections(results)
        if self.out_file is not None:
            write_json(self.out_file, _rows(found), indent=None)
        metrics: dict[str, float] = {}
        for iou_type in self.iou_types:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                numbers = evaluate(ground_truth, found, iou_type, self.protocol).numbers
            for warning in caught:
                print_log(str(warning.message), logger="current", level=logging.WARNING)
            present = {name: value for name, value in numbers.items() if value is not None}
            metrics.update({f"{iou_type}/{name}": value for name, value in present.items()})
        return metrics

    def _annotations(self) -> GroundTruth:
        """Return the annotations, which are read once."""
        if self._ground_truth is not None:
            return self._ground_truth
        document = dict(read_document(Path(self.ann_file), "an annotation file"))
        classes = (self.dataset_meta or {}).get("classes")
        if classes is not None and not len(self._category_ids):
            names = set(classes)
            document["categories"] = [row for row in document["categories"] if row["name"] in names]
            if len(document["categories"]) != len(classes):
                raise InputError(
                    f"the {len(classes)} classes of the dataset in {Path(self.ann_file).name}",
                    f"{len(document['categories'])} of them",
                    "make the dataset's metainfo and the annotations agree",
                )
        if not len(self._category_ids):
            self._category_ids = np.array([row["id"] for row in document["categories"]])
        self._ground_truth = read_ground_truth(document, self.iou_types, self.protocol)
        return self._ground_truth

    def _detections(self, results: list[dict]) -> Detections:
        score = np.concatenate([np.zeros(0), *(result["score"] for result in results)])
        box = np.concatenate([np.zeros((0, 4)), *(result["box"] for result in results)])
        if not (np.isfinite(score).all() and np.isfinite(box).all()):
            raise InputError(
                "finite scores and boxes", "NaN or infinity", "look at the losses: it has diverged"
            )
        label = np.concatenate([[], *(result["label"] for result in results)]).astype(np.int64)
        if len(label) and label.max() >= len(self._category_ids):
            raise InputError(
                f"labels below {len(self._category_ids)}, the classes of the annotations",
                str(label.max()),
                "set num_classes of the heads to the dataset's",
            )
        counts = [len(result["score"]) for result in results]
        return Detections(
            image_id=np.repeat(np.array([r["img_id"] for r in results], dtype=np.int64), counts),
            category_id=self._category_ids[label],
            score=score,
            box=box if "bbox" in self.iou_types else None,
            segmentation=(
                [rle for result in results for rle in result["rle"]]
                if "segm" in self.iou_types
                else None
            ),
        )


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
        columns["segmentation"] = found.segmentation
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
