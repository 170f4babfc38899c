"""Maps from scores to calibrated scores: fitted by scikit-learn, kept as a small JSON file.

Every map rises strictly, so that the order of the detections of a class stays as it is, and AP, AR
and oLRP with it. Only applying and reading them needs no scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation._packages import require_scikit_learn
from rankdet.evaluation.calibration import Judged, Split, deployment_thresholds
from rankdet.evaluation.columns import choose
from rankdet.files import parse_json, read_text
from rankdet.outputs import write_json

FORMAT, VERSION = "rankdet-calibration", 1
METHODS = ("isotonic", "linear", "platt")
TARGETS = ("iou", "precision")
LEAST = 30  # detections of a class, and a third of it true ones, for a map of its own
# A part of the score itself keeps detections apart where the fitted map is flat.
TILT = 1e-6
_NEAREST = 1e-6  # to 0 or 1, where the logit of a score is cut off


class Map(msgspec.Struct, forbid_unknown_fields=True):
    """A rising map of [0, 1] into itself.

    Attributes:
        kind: "isotonic": linear between the points x, y. "linear": intercept + slope * score, cut
            off at 0 and 1. "platt": the sigmoid of intercept + slope * logit(score).
        x: ascending scores.
        y: calibrated scores, none below the one before.
        slope: at least 0.
        intercept: any number.
    """

    kind: str
    x: list[float] = []
    y: list[float] = []
    slope: float = 0.0
    intercept: float = 0.0

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Return the calibrated scores [N] of scores [N]."""
        if self.kind == "isotonic":
            value = np.interp(score, self.x, self.y)
        elif self.kind == "linear":
            value = np.clip(self.intercept + self.slope * score, 0, 1)
        else:
            exponent = self.intercept + self.slope * _logit(score)
            value = 1 / (1 + np.exp(-np.clip(exponent, -700, 700)))
        return (1 - TILT) * value + TILT * score

    def problem(self) -> str | None:
        """Return why it is no rising map of [0, 1]; None if it is one."""
        numbers = np.array([*self.x, *self.y, self.slope, self.intercept])
        if self.kind not in METHODS:
            return f"a map of the kind {shown(self.kind)}"
        if not np.isfinite(numbers).all() or self.slope < 0:
            return "a slope below 0, or a number that is not finite"
        if self.kind != "isotonic":
            return None
        if not self.x or len(self.x) != len(self.y):
            return f"{len(self.x)} x for {len(self.y)} y"
        if min(np.diff(self.x), default=1) <= 0 or min(np.diff(self.y), default=0) < 0:
            return "points that do not ascend"
        return None if self.y[0] >= 0 and self.y[-1] <= 1 else "y outside of [0, 1]"


class Category(msgspec.Struct, forbid_unknown_fields=True):
    """The map of a class.

    Attributes:
        id: of the category.
        name: of the category.
        map: of its scores; None: the common one.
        threshold: the calibrated score from which to keep detections: of the lowest LRP error on
            the fitted split; of the lowest mean over all classes where the class is rare.
    """

    id: int
    name: str
    map: Map | None = None
    threshold: float | None = None


class Calibration(msgspec.Struct, forbid_unknown_fields=True):
    """What ``rankdet calibrate`` writes and ``rankdet predict --calibration`` applies.

    Attributes:
        format: "rankdet-calibration".
        version: of the layout, 1.
        method: "isotonic", "linear" or "platt".
        target: what the scores predict: "iou", with the matched object, 0 without one; or
            "precision", at IoU 0.5.
        iou_type: "bbox" or "segm".
        protocol: "coco" or "lvis".
        common: the map of the classes that have none of their own.
        categories: of the data set, ascending by id.
        record: what was measured, for readers.
    """

    method: str
    target: str
    iou_type: str
    protocol: str
    common: Map
    categories: list[Category]
    format: str = FORMAT
    version: int = VERSION
    record: dict[str, Any] = {}

    def apply(self, category_id: np.ndarray, score: np.ndarray) -> np.ndarray:
        """Return calibrated scores; the order within a category stays.

        Args:
            category_id: of each detection [N].
            score: of each, in [0, 1] [N].

        Returns:
            The calibrated scores [N].

        Raises:
            InputError: if a category is unknown, or a score is not in [0, 1].
        """
        known = np.array([each.id for each in self.categories])
        unknown = np.setdiff1d(category_id, known)
        if len(unknown):
            raise InputError(
                "detections of the categories that the calibration has",
                f"category ids {', '.join(map(str, unknown[:3]))}",
                "calibrate again, on this data set",
            )
        if len(score) and not (score.min() >= 0 and score.max() <= 1):
            raise InputError(
                "scores in [0, 1]", f"{score.min():g} to {score.max():g}", "check the detections"
            )
        result = np.empty(len(score))
        for each in self.categories:
            rows = category_id == each.id
            result[rows] = (each.map or self.common)(score[rows])
        return result

    def require(self, category_ids: list[int], names: list[str]) -> None:
        """Check that the classes are those of the calibration.

        Args:
            category_ids: of the data set, in any order.
            names: of the categories, in the same order.

        Raises:
            InputError: if they differ.
        """
        own = [(each.id, each.name) for each in self.categories]
        given = sorted(zip(category_ids, names, strict=True))
        if own == given:
            return
        differ = [pair for pair in given if pair not in own] or [
            pair for pair in own if pair not in given
        ]
        raise InputError(
            f"the {len(own)} classes of the calibration",
            f"{len(given)} classes, {shown(differ[0])} is one of the differences",
            "calibrate on detections of this data set",
        )


@dataclass(frozen=True)
class Settings:
    """How to fit.

    Attributes:
        method: "isotonic", "linear" or "platt".
        target: "iou" or "precision", see `Calibration`.
        per_class: a map for each class with enough detections; else one for all.
        least: detections that a class needs for a map of its own; a third of it have to be true.
        known: IoU type and protocol of the split, to keep.
    """

    method: str = "isotonic"
    target: str = "iou"
    per_class: bool = True
    least: int = LEAST
    known: tuple[str, str] = field(default=("bbox", "coco"))

    def __post_init__(self) -> None:
        choose("method", self.method, METHODS)
        choose("target", self.target, TARGETS)


def fit(
    split: Split,
    category_ids: list[int],
    names: list[str],
    settings: Settings | None = None,
    thresholds: np.ndarray | None = None,
) -> Calibration:
    """Fit maps to the detections of a split.

    Args:
        split: see `rankdet.evaluation.calibration.split`.
        category_ids: ascending [K].
        names: of the categories [K].
        settings: how; default: isotonic, to the IoU, per class.
        thresholds: `deployment_thresholds` of the split [K], where they are known already.

    Returns:
        The calibration, with a threshold for each class.

    Raises:
        InputError: if the split has no true positive.
        ModuleNotFoundError: without scikit-learn.
    """
    require_scikit_learn()
    settings = settings or Settings()
    judged = split.loose if settings.target == "iou" else split.strict
    target = judged.iou if settings.target == "iou" else judged.is_true.astype(float)
    if not judged.is_true.any():
        raise InputError(
            "detections that match annotations, to fit to",
            "none",
            "check that both belong together",
        )
    common = _fitted(judged.score, target, settings.method)
    if thresholds is None:
        thresholds = deployment_thresholds(split)
    categories = []
    for k, (key, name) in enumerate(zip(category_ids, names, strict=True)):
        rows = judged.category == k
        own = settings.per_class and _is_enough(judged.only(rows), settings.least)
        chosen = _fitted(judged.score[rows], target[rows], settings.method) if own else None
        threshold = None
        if not np.isnan(thresholds[k]):
            threshold = float((chosen or common)(thresholds[k : k + 1])[0])
        categories.append(Category(int(key), name, chosen, threshold))
    return Calibration(settings.method, settings.target, *settings.known, common, categories)


def _is_enough(judged: Judged, least: int) -> bool:
    return len(judged.score) >= least and int(judged.is_true.sum()) >= least / 3


def _fitted(score: np.ndarray, target: np.ndarray, method: str) -> Map:
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        curve = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(score, target)
        return Map("isotonic", curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist())
    if method == "linear":
        from sklearn.linear_model import LinearRegression

        line = LinearRegression(positive=True).fit(score[:, None], target)
        return Map("linear", slope=float(line.coef_[0]), intercept=float(line.intercept_))
    return _platt(score, target)


def _platt(score: np.ndarray, target: np.ndarray) -> Map:
    """Fit by cross-entropy: each detection is true in part, as the target says, and false else."""
    from sklearn.linear_model import LogisticRegression

    mean = float(np.clip(target.mean(), _NEAREST, 1 - _NEAREST))
    flat = Map("platt", slope=0.0, intercept=float(np.log(mean / (1 - mean))))
    if mean in (_NEAREST, 1 - _NEAREST) or score.min() == score.max():
        return flat
    column = np.tile(_logit(score), 2)[:, None]
    label = np.repeat([1, 0], len(score))
    weight = np.concatenate([target, 1 - target])
    some = weight > 0
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit(column[some], label[some], sample_weight=weight[some])
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    return Map("platt", slope=slope, intercept=intercept) if slope >= 0 else flat


def _logit(score: np.ndarray) -> np.ndarray:
    inside = np.clip(score, _NEAREST, 1 - _NEAREST)
    return np.log(inside / (1 - inside))


def write_calibration(path: str | Path, calibration: Calibration) -> None:
    """Write a calibration as JSON, in one step."""
    write_json(path, msgspec.to_builtins(calibration))


def read_calibration(path: str | Path) -> Calibration:
    """Read a calibration, and check it.

    Args:
        path: of the JSON file.

    Returns:
        The calibration.

    Raises:
        InputError: if the file is missing, damaged, of another format or version, or if a map does
            not rise.
    """
    what, again = "a calibration file", "write it again with `rankdet calibrate`"
    document = parse_json(read_text(path, what), path, what)
    is_ours = isinstance(document, dict) and document.get("format") == FORMAT
    if not is_ours:
        got = "another kind of JSON file"
        raise InputError(f'{what} with "format": "{FORMAT}"', f"{path}, {got}", again)
    if document.get("version") != VERSION:
        got = f"{path} of version {shown(document.get('version'))}"
        raise InputError(f"a calibration file of version {VERSION}", got, again)
    try:
        found = msgspec.convert(document, Calibration)
    except msgspec.ValidationError as error:
        raise InputError(what, f"{path} ({error})", again) from None
    problem = _problem(found)
    if problem is not None:
        raise InputError(f"{what} of rising maps", f"{path} with {problem}", again)
    return found


def _problem(found: Calibration) -> str | None:
    ids = [each.id for each in found.categories]
    if not ids or ids != sorted(set(ids)):
        return "category ids that do not ascend, or none"
    problem = found.common.problem()
    if problem is not None:
        return problem
    for each in found.categories:
        problem = each.map.problem() if each.map else None
        if problem is not None:
            return f"{problem}, for {shown(each.name)}"
        if each.threshold is not None and not 0 <= each.threshold <= 1:
            return f"a threshold outside of [0, 1], for {shown(each.name)}"
    return None
