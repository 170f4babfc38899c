"""All metrics from annotations and detections in one matching pass."""

from __future__ import annotations

import operator
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import masks
from rankdet.evaluation.average_precision import (
    THRESHOLDS,
    ScoredMatches,
    accumulate,
    best_per_class,
    federated_rows,
)
from rankdet.evaluation.columns import IOU_TYPES, Detections, GroundTruth, choose
from rankdet.evaluation.localization import localization_by_score
from rankdet.evaluation.lrp import optimal_lrp
from rankdet.evaluation.mask_overlaps import mask_overlaps
from rankdet.evaluation.matching import (
    Arrangement,
    Matches,
    Overlaps,
    arrange,
    box_overlaps,
    flags,
    match,
    place_detections,
)
from rankdet.evaluation.metrics import AREA_RANGES, Metrics, summarize
from rankdet.evaluation.reading import (
    paused_garbage_collector,
    read_detections,
    read_ground_truth,
)

LIMITS = {"coco": (1, 10, 100), "lvis": (300,)}


def evaluate(
    annotations: str | Path | dict[str, Any] | GroundTruth,
    detections: str | Path | list[Any] | Detections,
    iou_type: Literal["bbox", "segm"] = "bbox",
    protocol: Literal["coco", "lvis"] | None = None,
    area: Literal["auto", "box", "mask"] = "auto",
    limits: tuple[int, ...] | None = None,
) -> Metrics:
    """Compute AP, AR and oLRP of detections, equal to pycocotools, lvis and the oLRP toolkit.

    Args:
        annotations: COCO or LVIS v1 ground truth: a path, the parsed document, or the result of
            `read_ground_truth`.
        detections: COCO results: a path, the parsed array, or the result of `read_detections`.
        iou_type: overlap of boxes or of masks.
        protocol: "coco": 100 detections per image and category. "lvis": 300 per image, federated
            ground truth, no crowds. Default: "coco", or the protocol that `read_ground_truth` was
            given; another one is refused.
        area: which area of a detection determines small, medium, large: "box" (w * h), "mask"
            (pixels), or "auto", the toolkits' rule: the box if the results contain boxes. Tables
            made with mmdetection before 2.12 used boxes for masks too; later ones use masks.
        limits: detections per image and category in AR, ascending; AP and oLRP use the last.
            COCO only, default (1, 10, 100).

    Returns:
        Metrics: ``numbers``, ``per_class``, ``curves``.

    Raises:
        InputError: on malformed input; see `read_ground_truth` and `read_detections`.

    Example:
        >>> metrics = evaluate("instances_val2017.json", "detections.bbox.json")  # doctest: +SKIP
        >>> metrics.numbers["oLRP"]  # doctest: +SKIP
    """
    choose("iou_type", iou_type, IOU_TYPES)
    choose("area", area, ("auto", "box", "mask"))
    ground_truth = read_ground_truth(annotations, (iou_type,), protocol)
    limits = _checked_limits(limits, ground_truth.protocol)
    found = read_detections(detections, ground_truth)
    with paused_garbage_collector():
        scored, gt_count = scored_matches(ground_truth, found, iou_type, area, limits[-1])
        arguments = dict(
            iou_type=iou_type, protocol=ground_truth.protocol, area=area, limits=limits
        )
        return metrics_of(scored, gt_count, limits, ground_truth, arguments)


def metrics_of(
    scored: ScoredMatches,
    gt_count: np.ndarray,
    limits: tuple[int, ...],
    ground_truth: GroundTruth,
    arguments: dict[str, Any],
) -> Metrics:
    """Return the metrics of matches in score order.

    Args:
        scored: the matches.
        gt_count: the annotations that count [K, A].
        limits: detections per image and category in AR.
        ground_truth: the categories.
        arguments: of the evaluation, to keep.

    Returns:
        The metrics.
    """
    metrics = summarize(
        accumulate(scored, gt_count, limits),
        optimal_lrp(scored, gt_count),
        limits,
        ground_truth.category_ids,
        ground_truth.category_names,
        ground_truth.frequency if ground_truth.protocol == "lvis" else None,
    )
    curves = metrics.curves
    if curves:
        curves = {**curves, "localization": localization_by_score(scored)}
    return replace(metrics, curves=curves, arguments=arguments)


@dataclass(frozen=True)
class Matched:
    """One matching pass over N detections that are evaluated, of those of the file."""

    arrangement: Arrangement
    matches: Matches
    area: np.ndarray  # of all detections of the file
    is_unlabeled: np.ndarray | None  # likewise: no false positive without a match (LVIS)
    gt_ignored: np.ndarray  # [G, A] annotations that do not count, in the order of the file
    image: np.ndarray  # index of the image of all detections of the file
    masks: masks.Masks | None  # likewise

    def is_true(self) -> np.ndarray:
        """Whether each is matched at the lowest threshold to an annotation that counts [N]."""
        return self._flagged(self.matches.true)

    def is_false(self) -> np.ndarray:
        """Whether each is a false positive at the lowest threshold, of the range of all areas [N].

        Those that match an ignored annotation, or nothing where a class is partly labeled, are not.
        """
        row = self.arrangement.row
        low, high = AREA_RANGES["all"]
        costs = (self.area[row] >= low) & (self.area[row] <= high)
        if self.is_unlabeled is not None:
            costs &= ~self.is_unlabeled[row]
        return costs & ~self._flagged(self.matches.matched)

    def _flagged(self, bits: np.ndarray) -> np.ndarray:
        found = np.zeros(len(self.arrangement.row), dtype=bool)
        found[self.matches.detection] = (bits & 1) > 0
        return found


def scored_matches(
    ground_truth: GroundTruth,
    found: Detections,
    iou_type: str,
    area: str | np.ndarray,
    limit: int | None,
    per_class: int | None = None,
) -> tuple[ScoredMatches, np.ndarray]:
    """Match detections with annotations.

    Args:
        ground_truth: the annotations.
        found: the detections.
        iou_type: "bbox" or "segm".
        area: which area of a detection counts, see `evaluate`; or the areas [N].
        limit: detections per image and category; LVIS has its own, over all categories.
        per_class: detections per category over all images, in place of the limits per image.

    Returns:
        The matches in score order, and the annotations that count [K, A].

    Raises:
        InputError: if the detections are not of these images, or lack what is evaluated.
    """
    done = matched(ground_truth, found, iou_type, area, limit, per_class)
    gt_count = annotation_counts(ground_truth, ~done.gt_ignored)
    return _in_score_order(done.arrangement, done.matches, done.area, done.is_unlabeled), gt_count


def matched(
    ground_truth: GroundTruth,
    found: Detections,
    iou_type: str,
    area: str | np.ndarray,
    limit: int | None,
    per_class: int | None = None,
    thresholds: np.ndarray = THRESHOLDS,
) -> Matched:
    """Match detections with annotations, and keep who was matched.

    Args:
        ground_truth: see `scored_matches`, as all but the last.
        found: likewise.
        iou_type: likewise.
        area: likewise.
        limit: likewise.
        per_class: likewise.
        thresholds: ascending IoU thresholds.

    Returns:
        The detections by class and image, and their matches.

    Raises:
        InputError: if the detections are not of these images, or lack what is evaluated.
    """
    image, category = place_detections(ground_truth, found)
    kind = area if isinstance(area, str) else "auto"
    dt_masks = masks.detection_masks(found, ground_truth, image, iou_type, kind)
    if isinstance(area, np.ndarray):
        dt_area = area
    elif found.box is not None and area != "mask":
        dt_area = found.box[:, 2] * found.box[:, 3]
    else:
        assert dt_masks is not None  # checked there
        dt_area = dt_masks.area
    rows = None
    if per_class is not None:
        rows, limit = best_per_class(category, found.score, per_class), None
    if ground_truth.protocol == "lvis":
        columns = image, category, found.score, dt_area
        rows, is_unlabeled = federated_rows(ground_truth, *columns, rows)
        if len(found) and not len(rows):
            warnings.warn(
                f"none of the {len(found)} detections counts: LVIS evaluates a category only on "
                "images where it is annotated or listed as absent",
                stacklevel=4,
            )
        arrangement = arrange(ground_truth, image, category, found.score, rows, None)
    else:
        rows, is_unlabeled = np.flatnonzero(category >= 0) if rows is None else rows, None
        arrangement = arrange(ground_truth, image, category, found.score, rows, limit)

    gt_ignored = uncounted(ground_truth)
    overlaps = overlapping(
        arrangement, ground_truth, found, dt_masks, iou_type, float(thresholds[0])
    )
    gt_row = arrangement.gt_row
    matches = match(
        overlaps,
        arrangement.group,
        thresholds,
        gt_ignored[gt_row],
        ground_truth.is_crowd[gt_row],
    )
    return Matched(arrangement, matches, dt_area, is_unlabeled, gt_ignored, image, dt_masks)


def uncounted(ground_truth: GroundTruth) -> np.ndarray:
    """Return which annotations do not count in each area range [G, A]."""
    return _outside(ground_truth.area) | ground_truth.is_ignored[:, None]


def annotation_counts(ground_truth: GroundTruth, is_counted: np.ndarray) -> np.ndarray:
    """Count the annotations of each category [K, A] that are flagged [G, A]."""
    classes = len(ground_truth.category_ids)
    return np.stack(
        [np.bincount(ground_truth.category[flag], minlength=classes) for flag in is_counted.T],
        axis=1,
    )


def _checked_limits(limits: tuple[int, ...] | None, protocol: str) -> tuple[int, ...]:
    if limits is None:
        return LIMITS[protocol]
    try:
        known = tuple(operator.index(limit) for limit in limits)
    except TypeError:
        known = ()
    if protocol == "lvis" or not known or known[0] < 1 or list(known) != sorted(set(known)):
        raise InputError(
            "ascending positive limits, only for COCO",
            f"{shown(limits)} for {protocol}",
            "omit limits",
        )
    return known


def _outside(area: np.ndarray) -> np.ndarray:
    """Return whether each area lies outside each range [N, A]; both ends belong to the range."""
    low, high = np.array(list(AREA_RANGES.values())).T
    return (area[:, None] < low) | (area[:, None] > high)


def overlapping(
    arrangement: Arrangement,
    ground_truth: GroundTruth,
    found: Detections,
    dt_masks: masks.Masks | None,
    iou_type: str,
    lowest: float,
) -> Overlaps:
    """Return the pairs of a group with an IoU of at least ``lowest``."""
    gt_row = arrangement.gt_row
    is_crowd = ground_truth.is_crowd[gt_row]
    if iou_type == "segm":
        assert dt_masks is not None  # required above, as is ground_truth.box
        gt_masks = masks.ground_truth_masks(ground_truth, gt_row, arrangement.has_detections())
        return mask_overlaps(arrangement, dt_masks, gt_masks, is_crowd, lowest)
    assert ground_truth.box is not None
    if found.box is not None:
        box = found.box
    else:
        assert dt_masks is not None
        box = masks.boxes(dt_masks)
    return box_overlaps(arrangement, box, ground_truth.box[gt_row], is_crowd, lowest)


def _in_score_order(
    arrangement: Arrangement, matches: Matches, area: np.ndarray, is_unlabeled: np.ndarray | None
) -> ScoredMatches:
    """Return the matches in score order.

    Args:
        arrangement: the sorted groups.
        matches: of the detections with overlaps.
        area: of all detections in file order.
        is_unlabeled: of all detections; they are no false positives.

    Returns:
        The matches by category, then descending score.
    """
    by_score = arrangement.by_score
    place = np.empty(len(by_score), dtype=np.int64)
    place[by_score] = np.arange(len(by_score))
    position = place[matches.detection]
    order = np.argsort(position)
    row = arrangement.row[by_score]
    area = area[row]
    costs = np.stack([(area >= low) & (area <= high) for low, high in AREA_RANGES.values()])
    if is_unlabeled is not None:
        costs &= ~is_unlabeled[row]
    shape = (len(AREA_RANGES), len(THRESHOLDS))
    return ScoredMatches(
        category=arrangement.category,
        image=arrangement.image[by_score],
        rank=arrangement.rank[by_score],
        score=arrangement.score[by_score],
        costs=costs,
        position=position[order],
        is_matched=flags(matches.matched[order], *shape),
        is_true=flags(matches.true[order], *shape),
        iou=matches.iou[:, order],
    )
