"""The metrics of an evaluation under their usual names, in [0, 1]; None if undefined."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rankdet.evaluation.average_precision import (
    RECALL_LEVELS,
    THRESHOLDS,
    Accumulated,
    mean_of_present,
)
from rankdet.evaluation.columns import frequency_groups
from rankdet.evaluation.lrp import SCORE_GRID, LrpErrors, mean_of_defined

AREA_RANGES = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
_SUFFIXES = ("", "s", "m", "l")
LRP_PARTS = {
    "oLRP": "error",
    "oLRP_loc": "localization",
    "oLRP_fp": "false_positive",
    "oLRP_fn": "false_negative",
}


@dataclass(frozen=True)
class Metrics:
    """What `rankdet.evaluation.evaluate` returns.

    Attributes:
        numbers: the metrics by name, 0-1 at full precision; None if undefined.
            COCO: AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl, oLRP, oLRP_loc,
            oLRP_fp, oLRP_fn, oLRPs, oLRPm, oLRPl. LVIS: APr, APc, APf and AR300 instead of the
            three AR, and oLRPr, oLRPc, oLRPf instead of the sizes.
        per_class: one row per category, with its LRP-optimal score ``oLRP_threshold``.
        curves: precision-recall and LRP-score curves, means over the present classes; and
            "localization", see `rankdet.evaluation.localization.localization_by_score`.
        by_area: oLRP and its components for all, small, medium, large.
        arguments: iou_type, protocol, area and limits of the evaluation.
        class_curves: of each category in the order of ``per_class``, -1 where it is absent:
            "LRP" at the scores of ``curves`` [K, 101]; precision at its recall levels, at IoU
            "0.50", "0.75" and "mean" over all thresholds [K, 101] each.
    """

    numbers: dict[str, float | None]
    per_class: list[dict[str, Any]]
    curves: dict[str, Any]
    by_area: dict[str, dict[str, float | None]] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    class_curves: dict[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)


def summarize(
    accumulated: Accumulated,
    lrp: LrpErrors,
    limits: tuple[int, ...],
    category_ids: np.ndarray,
    category_names: list[str],
    frequency: list[str] | None,
) -> Metrics:
    """Average over classes, thresholds and recall levels in the toolkits' order of summation."""
    precision, recall = accumulated.precision, accumulated.recall
    numbers: dict[str, float | None] = {
        "AP": mean_of_present(precision[..., 0]),
        "AP50": mean_of_present(precision[0, ..., 0]),
        "AP75": mean_of_present(precision[5, ..., 0]),
    }
    for index, suffix in enumerate(_SUFFIXES[1:], start=1):
        numbers["AP" + suffix] = mean_of_present(precision[..., index])
    groups = frequency_groups(frequency)
    for name, members in groups.items():
        numbers["AP" + name] = mean_of_present(precision[:, :, members, 0])
    for index, limit in enumerate(limits):
        numbers[f"AR{limit}"] = mean_of_present(recall[:, :, 0, index])
    for index, suffix in enumerate(_SUFFIXES[1:], start=1):
        numbers["AR" + suffix] = mean_of_present(recall[:, :, index, -1])
    by_area = {
        label: {
            name: mean_of_defined(getattr(lrp, part)[:, index]) for name, part in LRP_PARTS.items()
        }
        for index, label in enumerate(AREA_RANGES)
    }
    numbers.update(by_area["all"])
    for name, members in groups.items():
        numbers["oLRP" + name] = mean_of_defined(lrp.error[members, 0])
    if not groups:
        for label, suffix in zip(list(AREA_RANGES)[1:], _SUFFIXES[1:], strict=True):
            numbers["oLRP" + suffix] = by_area[label]["oLRP"]
    per_class = [
        _class_row(accumulated, lrp, limits, index, int(category_ids[index]), name, frequency)
        for index, name in enumerate(category_names)
    ]
    return Metrics(
        numbers,
        per_class,
        _curves(accumulated, lrp),
        by_area,
        class_curves=_class_curves(precision[..., 0], lrp),
    )


def _optional(value: float) -> float | None:
    return None if np.isnan(value) or value == -1 else float(value)


def _class_row(
    accumulated: Accumulated,
    lrp: LrpErrors,
    limits: tuple[int, ...],
    index: int,
    category_id: int,
    name: str,
    frequency: list[str] | None,
) -> dict[str, Any]:
    precision, recall = accumulated.precision[:, :, index], accumulated.recall[:, index]
    row: dict[str, Any] = {
        "category_id": category_id,
        "name": name,
        "annotations": int(accumulated.gt_count[index, 0]),
    }
    if frequency is not None:
        row["frequency"] = frequency[index]
    row["AP"] = mean_of_present(precision[..., 0])
    row["AP50"] = mean_of_present(precision[0, :, 0])
    row["AP75"] = mean_of_present(precision[5, :, 0])
    for area, suffix in enumerate(_SUFFIXES[1:], start=1):
        row["AP" + suffix] = mean_of_present(precision[..., area])
    row[f"AR{limits[-1]}"] = mean_of_present(recall[:, 0, -1])
    for area, suffix in enumerate(_SUFFIXES):
        for key, part in LRP_PARTS.items():
            parts = key.split("_")
            parts[0] += suffix
            row["_".join(parts)] = _optional(getattr(lrp, part)[index, area])
        row[f"oLRP{suffix}_threshold"] = _optional(lrp.threshold[index, area])
    return row


def _curves(accumulated: Accumulated, lrp: LrpErrors) -> dict[str, Any]:
    """Class means: compact, and enough for the figures of the report."""
    present = accumulated.gt_count[:, 0] > 0
    if not present.any():
        return {}
    precision = accumulated.precision[:, :, present, 0].mean(axis=2)  # [T, R]
    curve = lrp.curve[present].mean(axis=0)
    return {
        "recall": _short(RECALL_LEVELS),
        "precision": {
            **{f"{THRESHOLDS[i]:.2f}": _short(precision[i]) for i in (0, 5)},
            "mean": _short(precision.mean(axis=0)),
        },
        "score": _short(SCORE_GRID),
        "LRP": _short(curve),
        "classes": int(present.sum()),
    }


def _class_curves(precision: np.ndarray, lrp: LrpErrors) -> dict[str, np.ndarray]:
    """Return the curves of each class [K, 101] from the precision [T, R, K]."""
    parts = {f"{THRESHOLDS[i]:.2f}": precision[i] for i in (0, 5)}
    parts["mean"] = precision.mean(axis=0)
    return {"LRP": lrp.curve, **{name: part.T.copy() for name, part in parts.items()}}


def per_class_curves(metrics: Metrics) -> dict[str, Any]:
    """Return the curves of each class with annotations, and its LRP-optimal threshold, for JSON.

    Args:
        metrics: of `rankdet.evaluation.evaluate`.

    Returns:
        "score" and "recall", the points of the curves, and "classes": one row for each with
        "LRP" by score, "precision" by recall at IoU 0.50, 0.75 and as the mean, AP, oLRP and
        "oLRP_threshold".
    """
    curves = {name: np.round(values, 6).tolist() for name, values in metrics.class_curves.items()}
    known = ("category_id", "name", "annotations", "AP", "oLRP", "oLRP_threshold")
    return {
        "score": _short(SCORE_GRID),
        "recall": _short(RECALL_LEVELS),
        "classes": [
            {key: row[key] for key in known}
            | {"LRP": curves["LRP"][place]}
            | {"precision": {name: curves[name][place] for name in ("0.50", "0.75", "mean")}}
            for place, row in enumerate(metrics.per_class)
            if row["annotations"]
        ],
    }


def _short(values: np.ndarray) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


# How many annotations do not count, and why.
Reason = tuple[int, str]


def listed(
    image: np.ndarray, category: np.ndarray, image_ids: np.ndarray, category_ids: np.ndarray
) -> tuple[np.ndarray, list[Reason]]:
    """Return the annotations of listed images and categories, and why the others are left out.

    Args:
        image: the image id that each annotation names [N].
        category: likewise its category id [N].
        image_ids: that the file lists.
        category_ids: likewise.

    Returns:
        The places of the listed ones, ascending, and the reasons; each annotation has one.
    """
    has_image, has_category = np.isin(image, image_ids), np.isin(category, category_ids)
    reasons = [
        _unlisted("categories", category[~has_category]),
        _unlisted("images", image[has_category & ~has_image]),
    ]
    return np.flatnonzero(has_image & has_category), [each for each in reasons if each[0]]


def _unlisted(what: str, ids: np.ndarray) -> Reason:
    unknown = np.unique(ids)
    more = ", ..." if len(unknown) > 3 else ""
    return len(
        ids
    ), f"name {what} that are not listed (ids {', '.join(map(str, unknown[:3]))}{more})"


def ignored(is_ignored: np.ndarray, area: np.ndarray, reason: str) -> list[Reason]:
    """Return why annotations [N] count in no range of areas.

    Args:
        is_ignored: the flag of each [N].
        area: of each [N].
        reason: what the flag means.

    Returns:
        Counts with their reasons.
    """
    largest = AREA_RANGES["all"][1]
    return [
        (int(is_ignored.sum()), reason),
        (int((~is_ignored & (area > largest)).sum()), f"have an area above {largest:g}"),
    ]


def warn(total: int, unlisted: list[Reason], others: list[Reason]) -> None:
    """Warn if annotations are not listed, or if none of ``total`` counts."""
    if total > sum(count for count, _ in [*unlisted, *others]):
        for count, reason in unlisted:
            warnings.warn(f"{count} of {total} annotations {reason} and are ignored", stacklevel=4)
        return
    why = [f"{count} of {total} {reason}" for count, reason in [*unlisted, *others] if count]
    warnings.warn(
        "no valid annotation, so every number is null: "
        + ("; ".join(why) or "the annotation file has none"),
        stacklevel=4,
    )
