"""Fixed AP and Pooled AP (Dave et al., "Evaluating Large-Vocabulary Object Detectors", 2021).

A limit of detections per image lets classes compete for places, so that AP rises when detections of
rare classes are dropped. Fixed AP limits the detections of a class over all images instead. Pooled
AP ranks the detections of all classes in one list, so that scores must compare across classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation.average_precision import ScoredMatches, accumulate, mean_of_present
from rankdet.evaluation.columns import (
    IOU_TYPES,
    Detections,
    GroundTruth,
    choose,
    frequency_groups,
)
from rankdet.evaluation.evaluator import scored_matches
from rankdet.evaluation.matching import stable_descending
from rankdet.evaluation.reading import (
    paused_garbage_collector,
    read_detections,
    read_ground_truth,
)

PER_CLASS = 10_000


def fixed_ap(
    annotations: str | Path | dict[str, Any] | GroundTruth,
    detections: str | Path | list[Any] | Detections,
    iou_type: Literal["bbox", "segm"] = "bbox",
    protocol: Literal["coco", "lvis"] | None = None,
    per_class: int = PER_CLASS,
) -> dict[str, float | None]:
    """Compute Fixed AP and Pooled AP of the best detections of each class over all images.

    The detections must be there: a detector that keeps 100 or 300 of each image has to be run
    without that limit. In LVIS the classes of an image that are evaluated, and those that are only
    partly labeled, are as in the standard protocol.

    Args:
        annotations: see `rankdet.evaluation.evaluate`.
        detections: likewise.
        iou_type: overlap of boxes or of masks.
        protocol: "coco" or "lvis", see `rankdet.evaluation.evaluate`.
        per_class: how many detections of each class count, 10,000 in the paper.

    Returns:
        AP_fixed, AP50_fixed, AP75_fixed (LVIS also APr_fixed, APc_fixed, APf_fixed), AP_pooled,
        AP50_pooled and AP75_pooled in [0, 1]; None if undefined.

    Raises:
        InputError: on malformed input, see `rankdet.evaluation.evaluate`.
    """
    choose("iou_type", iou_type, IOU_TYPES)
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        raise InputError(
            "per_class as a positive integer", shown(per_class), f"the paper has {PER_CLASS}"
        )
    truth = read_ground_truth(annotations, (iou_type,), protocol)
    found = read_detections(detections, truth)
    with paused_garbage_collector():
        matches, gt_count = scored_matches(truth, found, iou_type, "auto", None, per_class)
        precision = _precision(matches, gt_count)  # [T, R, K]
        numbers = _means(precision, "_fixed")
        if truth.protocol == "lvis":
            for name, members in frequency_groups(truth.frequency).items():
                numbers[f"AP{name}_fixed"] = mean_of_present(precision[:, :, members])
        in_one = _precision(pooled(matches), gt_count.sum(axis=0, keepdims=True))
        return numbers | _means(in_one, "_pooled")


def _precision(matches: ScoredMatches, gt_count: np.ndarray) -> np.ndarray:
    """Return the precision of all areas [T, R, K]; -1 where a class is absent."""
    highest = int(matches.rank.max()) + 1 if len(matches.rank) else 1
    return accumulate(matches, gt_count, (highest,)).precision[..., 0]


def _means(precision: np.ndarray, suffix: str) -> dict[str, float | None]:
    parts = {"AP": precision, "AP50": precision[0], "AP75": precision[5]}
    return {name + suffix: mean_of_present(part) for name, part in parts.items()}


def pooled(matches: ScoredMatches) -> ScoredMatches:
    """Return the matches of all classes as those of one; equal scores in the order of the classes.

    Args:
        matches: by category, then in score order.

    Returns:
        The matches of one class in score order.
    """
    order = stable_descending(matches.score)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    position = place[matches.position]
    turn = np.argsort(position)
    return ScoredMatches(
        category=np.zeros_like(matches.category),
        image=matches.image[order],
        rank=matches.rank[order],
        score=matches.score[order],
        costs=matches.costs[:, order],
        position=position[turn],
        is_matched=matches.is_matched[:, :, turn],
        is_true=matches.is_true[:, :, turn],
        iou=matches.iou[:, turn],
    )
