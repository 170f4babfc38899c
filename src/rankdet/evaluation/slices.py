"""The metrics of some images each: by any attribute of the images, from one matching pass."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rankdet.errors import InputError, nearest, shown
from rankdet.evaluation.columns import IOU_TYPES, Detections, GroundTruth, choose
from rankdet.evaluation.evaluator import (
    LIMITS,
    annotation_counts,
    metrics_of,
    scored_matches,
    uncounted,
)
from rankdet.evaluation.metrics import Metrics
from rankdet.evaluation.reading import (
    paused_garbage_collector,
    read_detections,
    read_document,
    read_ground_truth,
)

MOST = 200  # values of an attribute


def evaluate_slices(
    annotations: str | Path | dict[str, Any] | GroundTruth,
    detections: str | Path | list[Any] | Detections,
    by: str | Mapping[int, Hashable],
    iou_type: Literal["bbox", "segm"] = "bbox",
    protocol: Literal["coco", "lvis"] | None = None,
    area: Literal["auto", "box", "mask"] = "auto",
) -> dict[Hashable, Metrics]:
    """Compute all metrics for the images of each value of an attribute.

    The numbers of a slice are those of an evaluation of its images alone. A class counts in the
    slices that hold its annotations, so that means of different slices may be over different
    classes.

    Args:
        annotations: see `rankdet.evaluation.evaluate`.
        detections: likewise.
        by: a field of the images in the annotation file, or a mapping from image id to value.
            Images without the field have the value None; images that the mapping lacks are in no
            slice.
        iou_type: overlap of boxes or of masks.
        protocol: "coco" or "lvis", see `rankdet.evaluation.evaluate`.
        area: likewise.

    Returns:
        The metrics by value, in the order of the values; ``arguments`` has the number of images.

    Raises:
        InputError: on malformed input, if no image has the field, or if a value is a list, an
            object or one of more than 200.
    """
    choose("iou_type", iou_type, IOU_TYPES)
    choose("area", area, ("auto", "box", "mask"))
    truth = read_ground_truth(annotations, (iou_type,), protocol)
    values = image_values(annotations, by) if isinstance(by, str) else dict(by)
    slices = _slices(truth, values)
    found = read_detections(detections, truth)
    limits = LIMITS[truth.protocol]
    with paused_garbage_collector():
        matches, _ = scored_matches(truth, found, iou_type, area, limits[-1])
        is_counted = ~uncounted(truth)
        metrics: dict[Hashable, Metrics] = {}
        for value, images in slices.items():
            is_in = np.zeros(len(truth.image_ids), dtype=bool)
            is_in[images] = True
            counts = annotation_counts(truth, is_counted & is_in[truth.image][:, None])
            arguments = dict(
                iou_type=iou_type, protocol=truth.protocol, area=area, limits=limits
            ) | dict(images=len(images))
            some = matches.only(is_in[matches.image])
            metrics[value] = metrics_of(some, counts, limits, truth, arguments)
    return metrics


def image_values(annotations: Any, field: str) -> dict[int, Hashable]:
    """Return the value of a field by image id; None for images without it.

    Args:
        annotations: a path or the parsed document.
        field: of the entries of "images".

    Returns:
        The values by image id.

    Raises:
        InputError: if the annotations are columns, which do not keep the fields, or if no image
            has the field.
    """
    if isinstance(annotations, GroundTruth):
        raise InputError(
            "a mapping from image id to value",
            f"the field {shown(field)} with annotations that were read before",
            "give the mapping, or the annotation file",
        )
    document = annotations
    if not isinstance(annotations, dict):
        document = read_document(annotations, "an annotation file")
    rows = document["images"]
    known = {key for row in rows for key in row}
    if field not in known:
        raise InputError(
            f"images with the field {shown(field)}", "none", f"{nearest(field, known)}"
        )
    return {row["id"]: row.get(field) for row in rows}


def _slices(truth: GroundTruth, values: Mapping[int, Any]) -> dict[Hashable, list[int]]:
    """Return the images of each value, by index."""
    found: dict[Hashable, list[int]] = {}
    for index, key in enumerate(truth.image_ids.tolist()):
        if key in values:
            value = values[key]
            if not isinstance(value, Hashable):
                raise InputError(
                    "one value per image", shown(value), "map each image to a text or a number"
                )
            found.setdefault(value, []).append(index)
    if not found:
        raise InputError(
            "values of images of the annotations", "none of their ids", "check the image ids"
        )
    if len(found) > MOST:
        raise InputError(
            f"at most {MOST} values", f"{len(found)}", "group the values, such as sizes by range"
        )
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _order(value: Hashable) -> tuple[int, Any]:
    """Return the sort key: numbers, then texts, then what is missing."""
    if isinstance(value, bool | int | float):
        return 0, value
    return (2, "") if value is None else (1, str(value))
