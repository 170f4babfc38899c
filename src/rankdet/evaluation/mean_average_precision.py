"""AP, AR and oLRP of batches of predictions, with the interface of torchmetrics.

Tensors and numpy arrays are accepted. This module does not import torch: whoever passes tensors, or
runs several processes, has imported it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.errors import InputError, shown
from rankdet.evaluation.columns import Detections, GroundTruth, choose, chosen_iou_types
from rankdet.evaluation.evaluator import evaluate
from rankdet.evaluation.metrics import Metrics

BOX_FORMATS = ("xyxy", "xywh", "cxcywh")
SIZES = {"": "", "s": "_small", "m": "_medium", "l": "_large"}
OLRP = {"olrp": "oLRP", "olrp_loc": "oLRP_loc", "olrp_fp": "oLRP_fp", "olrp_fn": "oLRP_fn"}
NO_LABELS = np.zeros(0, dtype=np.int64)
Item = dict[str, Any]


class MeanAveragePrecision:
    """Collect predictions batch by batch, and evaluate them as pycocotools does, with oLRP besides.

    Args:
        box_format: of all boxes: "xyxy", "xywh" or "cxcywh".
        iou_type: "bbox", "segm", or both as a tuple; both put "bbox_" or "segm_" before the keys.
        max_detection_thresholds: three numbers of detections per image and category, default
            [1, 10, 100]; AP and oLRP use the last.
        class_metrics: whether to return the values of every class too.
        average: "macro" is the mean over the classes; "micro" gives all objects one class.

    Raises:
        InputError: if an argument is none of these.

    Example:
        >>> import numpy as np
        >>> metric = MeanAveragePrecision()
        >>> boxes, labels = np.array([[10.0, 10.0, 50.0, 50.0]]), np.array([0])
        >>> metric.update(
        ...     [dict(boxes=boxes + 2, scores=np.array([0.9]), labels=labels)],
        ...     [dict(boxes=boxes, labels=labels)],
        ... )
        >>> numbers = metric.compute()
        >>> round(float(numbers["map_50"]), 3), round(float(numbers["olrp"]), 3)
        (1.0, 0.355)
    """

    def __init__(
        self,
        box_format: Literal["xyxy", "xywh", "cxcywh"] = "xyxy",
        iou_type: str | Sequence[str] = "bbox",
        max_detection_thresholds: Sequence[int] | None = None,
        class_metrics: bool = False,
        average: Literal["macro", "micro"] = "macro",
    ) -> None:
        choose("box_format", box_format, BOX_FORMATS)
        choose("average", average, ("macro", "micro"))
        self.box_format, self.average = box_format, average
        self.iou_type = chosen_iou_types(iou_type)
        self.class_metrics = class_metrics
        limits = sorted(max_detection_thresholds or (1, 10, 100))
        if len(limits) != 3:
            raise InputError("three max_detection_thresholds", shown(limits), "give three numbers")
        self.max_detection_thresholds = limits
        self.reset()

    def reset(self) -> None:
        """Forget all predictions."""
        self._images: list[dict[str, Item]] = []
        self._torch: Any = None  # the module, if tensors came

    def update(self, preds: Sequence[Item], target: Sequence[Item]) -> None:
        """Add the images of a batch.

        Args:
            preds: of each image, ``boxes`` [n, 4] (with "bbox"), ``masks`` [n, H, W] of bool or
                uint8 (with "segm"), ``scores`` [n], ``labels`` [n].
            target: of each image, ``boxes`` [g, 4] or ``masks`` [g, H, W] or both, ``labels`` [g],
                perhaps ``iscrowd`` [g] and ``area`` [g]; an area of 0 is that of the mask if
                "segm" is evaluated, else of the box.

        Raises:
            InputError: naming the image and the key that is missing or malformed; then no image of
                the batch is added.
        """
        if len(preds) != len(target):
            raise InputError(
                "as many preds as target", f"{len(preds)} and {len(target)}", "pair them by image"
            )
        batch = []
        for number, (found, truth) in enumerate(zip(preds, target, strict=True)):
            both = {
                "preds": self._item(found, f"preds[{number}]", ("scores",)),
                "target": self._item(truth, f"target[{number}]", ()),
            }
            batch.append(both)
        self._images += batch

    def compute(self) -> dict[str, Any]:
        """Evaluate the images of all processes.

        Returns:
            By torchmetrics' names: map, map_50, map_75, map_small, map_medium, map_large, mar_1,
            mar_10, mar_100 (or other limits), mar_small, mar_medium, mar_large, map_per_class,
            mar_100_per_class, classes; besides olrp, olrp_loc, olrp_fp, olrp_fn, olrp_small,
            olrp_medium, olrp_large, olrp_per_class. Where undefined, -1. Tensors if tensors were
            given, else numpy float64.
        """
        images, self._torch = _of_all_processes(self._images, self._torch)
        if not images:
            warnings.warn("compute() before any update(): every number is -1", stacklevel=2)
        classes = np.unique(np.concatenate([NO_LABELS, *_labels(images)]))
        result: dict[str, Any] = {}
        for iou_type in self.iou_type:
            prefix = f"{iou_type}_" if len(self.iou_type) > 1 else ""
            is_micro = self.average == "micro"
            whole = self._evaluated(images, classes, iou_type, is_micro)
            found = _numbers(whole, self.max_detection_thresholds)
            if is_micro and self.class_metrics:
                whole = self._evaluated(images, classes, iou_type, False)
            found |= self._per_class(whole)
            result |= {prefix + key: value for key, value in found.items()}
        result["classes"] = classes.astype(np.int32)
        return {key: self._typed(value) for key, value in result.items()}

    def _item(self, item: Item, where: str, more: tuple[str, ...]) -> Item:
        """Return the columns of one image as numpy arrays, boxes as x, y, w, h, masks as RLEs."""
        needed = [{"bbox": "boxes", "segm": "masks"}[each] for each in self.iou_type]
        for key in (*needed, "labels", *more):
            if not isinstance(item, dict) or key not in item:
                raise InputError(f'"{key}" in {where}', shown(item), "give it for every image")
        labels = self._array(item["labels"], where, "labels").reshape(-1)
        if len(labels) and not np.issubdtype(labels.dtype, np.integer):
            raise InputError(
                f"integer labels in {where}", f"{labels.dtype}", "convert them to integers"
            )
        columns: Item = {"labels": labels.astype(np.int64)}
        for key in (*more, *(each for each in ("iscrowd", "area") if each in item and not more)):
            columns[key] = self._array(item[key], where, key).reshape(-1).astype(np.float64)
        if "bbox" in self.iou_type:
            columns["boxes"] = self._boxes(item["boxes"], where)
        if "segm" in self.iou_type:
            columns["masks"], columns["size"] = _encoded(
                self._array(item["masks"], where, "masks"), where
            )
        for key, column in columns.items():
            if key != "size" and len(column) != len(labels):
                raise InputError(
                    f'as many "{key}" as "labels" in {where}',
                    f"{len(column)} and {len(labels)}",
                    "give one value per object",
                )
            if isinstance(column, np.ndarray) and not np.isfinite(column).all():
                raise InputError(f'finite "{key}" in {where}', "NaN or infinity", "check the model")
        return columns

    def _boxes(self, value: Any, where: str) -> np.ndarray:
        boxes = self._array(value, where, "boxes")
        if boxes.size == 0:
            return np.zeros((0, 4))
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InputError(f"boxes [n, 4] in {where}", f"{boxes.shape}", "one box in each row")
        boxes = _as_xywh(boxes, self.box_format).astype(np.float64)
        if (boxes[:, 2:] < 0).any():
            raise InputError(
                f"boxes of {self.box_format} with width and height >= 0 in {where}",
                shown(boxes[(boxes[:, 2:] < 0).any(axis=1)][0].tolist()),
                "check box_format",
            )
        return boxes

    def _array(self, value: Any, where: str, key: str) -> np.ndarray:
        """Return a tensor or an array as an array, of floats in the type that they have."""
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            self._torch = torch
            value = value.detach().cpu()
            return np.asarray((value.float() if value.dtype == torch.bfloat16 else value).numpy())
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise InputError(f'"{key}" in {where} as numbers', shown(value), "give an array")
        return array

    def _evaluated(
        self, images: list[dict[str, Item]], classes: np.ndarray, iou_type: str, is_micro: bool
    ) -> Metrics:
        if is_micro:
            classes = np.zeros(1, dtype=np.int64)
        truth = _ground_truth(images, classes, iou_type, is_micro)
        found = _detections([each["preds"] for each in images], iou_type, is_micro)
        kind: Any = iou_type
        area: Any = "mask" if iou_type == "segm" else "box"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of no detections: -1 or 0 says so
            limits = tuple(self.max_detection_thresholds)
            return evaluate(truth, found, kind, area=area, limits=limits)

    def _per_class(self, metrics: Metrics) -> dict[str, Any]:
        last = self.max_detection_thresholds[-1]
        names = {"map": "AP", f"mar_{last}": f"AR{last}", "olrp": "oLRP"}
        if not self.class_metrics:
            return {f"{key}_per_class": -1.0 for key in names}
        return {
            f"{key}_per_class": np.array([_defined(row[name]) for row in metrics.per_class])
            for key, name in names.items()
        }

    def _typed(self, value: Any) -> Any:
        array = np.asarray(value)
        if self._torch is None:
            return array[()]
        is_class = array.dtype == np.int32
        return self._torch.tensor(
            array, dtype=self._torch.int32 if is_class else self._torch.float32
        )


def _defined(value: float | None) -> float:
    return -1.0 if value is None else value


def _numbers(metrics: Metrics, limits: Sequence[int]) -> dict[str, float]:
    own = metrics.numbers
    found = {"map": own["AP"], "map_50": own["AP50"], "map_75": own["AP75"]}
    sizes = {size: name for size, name in SIZES.items() if size}
    found |= {f"map{name}": own[f"AP{size}"] for size, name in sizes.items()}
    found |= {f"mar_{limit}": own[f"AR{limit}"] for limit in limits}
    found |= {f"mar{name}": own[f"AR{size}"] for size, name in sizes.items()}
    found |= {key: own[name] for key, name in OLRP.items()}
    found |= {f"olrp{name}": own[f"oLRP{size}"] for size, name in sizes.items()}
    return {key: _defined(value) for key, value in found.items()}


def _labels(images: list[dict[str, Item]]) -> list[np.ndarray]:
    return [each[side]["labels"] for each in images for side in ("preds", "target")]


def _of_all_processes(
    images: list[dict[str, Item]], tensors: Any
) -> tuple[list[dict[str, Item]], Any]:
    """Return the images of all processes of torch.distributed, in the order of the processes.

    And torch, if tensors were given to one of them.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return images, tensors
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() < 2:
        return images, tensors
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, (images, tensors is not None))
    every = [image for part, _ in gathered for image in part]
    return every, torch if any(has_tensors for _, has_tensors in gathered) else None


def _as_xywh(boxes: np.ndarray, box_format: str) -> np.ndarray:
    """Convert boxes in their own precision, step by step as torchvision does."""
    if box_format == "xywh":
        return boxes
    if box_format == "cxcywh":
        center, half = boxes[:, :2], boxes.dtype.type(0.5) * boxes[:, 2:]
        boxes = np.hstack([center - half, center + half])
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _encoded(masks: np.ndarray, where: str) -> tuple[list[Item], tuple[int, int]]:
    """Return masks [n, H, W] as RLEs, and H and W; zeros if there is none."""
    if masks.ndim != 3:
        raise InputError(f"masks [n, H, W] in {where}", f"{masks.shape}", "one mask per object")
    if not len(masks):
        return [], (0, 0)
    encoded = mask_tools.encode(np.asfortranarray((masks > 0).transpose(1, 2, 0).astype(np.uint8)))
    return encoded, masks.shape[1:]


def _column(items: list[Item], key: str, empty: np.ndarray) -> np.ndarray:
    return np.concatenate([empty, *(each[key] for each in items)])


def _ground_truth(
    images: list[dict[str, Item]], labels: np.ndarray, iou_type: str, is_micro: bool
) -> GroundTruth:
    items = [each["target"] for each in images]
    counts = [len(each["labels"]) for each in items]
    category = _column(items, "labels", NO_LABELS)
    crowd = [
        each.get("iscrowd", np.zeros(count)) for each, count in zip(items, counts, strict=True)
    ]
    given = [each.get("area", np.zeros(count)) for each, count in zip(items, counts, strict=True)]
    # Without objects, the predictions know the size of the image.
    sizes = [max(side.get("size", (0, 0)) for side in each.values()) for each in images]
    masks = [mask for each in items for mask in each.get("masks", [])]
    box = _column(items, "boxes", np.zeros((0, 4))) if iou_type == "bbox" else None
    if any("masks" in each for each in items):  # as in COCO, also where boxes are evaluated
        own = np.array([mask_tools.area(each) for each in masks], dtype=np.float64)
    else:
        assert box is not None
        own = box[:, 2] * box[:, 3]
    area = np.concatenate([np.zeros(0), *given])
    is_crowd = np.concatenate([np.zeros(0), *crowd]) > 0
    return GroundTruth(
        image_ids=np.arange(len(items)),
        image_sizes=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        category_ids=labels,
        category_names=[str(each) for each in labels.tolist()],
        image=np.repeat(np.arange(len(items)), counts),
        category=np.searchsorted(labels, category * (not is_micro)),
        box=box,
        area=np.where(area > 0, area, own),
        is_crowd=is_crowd,
        is_ignored=is_crowd,
        segmentation=masks if iou_type == "segm" else None,
    )


def _detections(items: list[Item], iou_type: str, is_micro: bool) -> Detections:
    counts = [len(each["labels"]) for each in items]
    category = _column(items, "labels", NO_LABELS)
    is_mask = iou_type == "segm"
    return Detections(
        image_id=np.repeat(np.arange(len(items)), counts),
        category_id=category * (not is_micro),
        score=_column(items, "scores", np.zeros(0)),
        box=None if is_mask else _column(items, "boxes", np.zeros((0, 4))),
        segmentation=[mask for each in items for mask in each["masks"]] if is_mask else None,
    )
