"""pycocotools' COCOeval with oLRP besides, for scripts that are written against pycocotools.

Only the import changes: ``from rankdet.evaluation import COCOeval``.
"""

from __future__ import annotations

import copy
import datetime
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields
from rankdet.evaluation.average_precision import (
    RECALL_LEVELS,
    THRESHOLDS,
    ScoredMatches,
    accumulate,
    recall_scores,
)
from rankdet.evaluation.columns import IOU_TYPES, Detections, GroundTruth
from rankdet.evaluation.evaluator import scored_matches
from rankdet.evaluation.lrp import LrpErrors, mean_of_defined, optimal_lrp
from rankdet.evaluation.metrics import AREA_RANGES, LRP_PARTS
from rankdet.evaluation.reading import read_detections, read_ground_truth
from rankdet.evaluation.selection import selected_detections, selected_ground_truth

LINE = " {:<18} {} @[ IoU={:<9} | area={:>6s} | maxDets={:>3d} ] = {:0.3f}"


class Params:
    """The parameters of pycocotools.

    Args:
        iouType: "bbox" or "segm".

    Attributes:
        imgIds: ids of the images to evaluate.
        catIds: ids of the categories to evaluate.
        maxDets: detections per image and category, three ascending numbers.
        iouThrs: IoU thresholds; only the default is supported.
        recThrs: recall levels; only the default is supported.
        areaRng: area ranges; only the default is supported.
        areaRngLbl: their names.
        useCats: 1; categories are always told apart.
    """

    def __init__(self, iouType: str = "segm") -> None:
        self.imgIds: Any = []
        self.catIds: Any = []
        self.iouThrs: Any = THRESHOLDS.copy()
        self.recThrs: Any = RECALL_LEVELS.copy()
        self.maxDets: Any = [1, 10, 100]
        self.areaRng: Any = [list(bounds) for bounds in AREA_RANGES.values()]
        self.areaRngLbl: Any = list(AREA_RANGES)
        self.useCats: Any = 1
        self.iouType = iouType


class COCOeval:
    """Evaluate as pycocotools does, and compute oLRP in the same pass.

    Args:
        cocoGt: ground truth: a ``COCO`` object, or whatever `read_ground_truth` takes.
        cocoDt: detections: the ``COCO`` object that ``loadRes`` returns, or whatever
            `read_detections` takes.
        iouType: "segm" or "bbox".

    Attributes:
        params: see `Params`; it may be changed before `evaluate`.
        eval: after `accumulate`, the dictionary of pycocotools: "precision" and "scores"
            [T, R, K, A, M], "recall" [T, K, A, M], "counts", "params", "date".
        stats: after `summarize`, the twelve numbers; -1 where there is none.
        olrp: after `accumulate`, oLRP, oLRP_loc, oLRP_fp, oLRP_fn, oLRPs, oLRPm, oLRPl in [0, 1];
            None where undefined.
        lrp: after `accumulate`, the same per category and area range, with the optimal score.

    Raises:
        InputError: on malformed input, and for what is not supported: keypoints, other thresholds,
            recall levels or area ranges, and categories that are not told apart.

    Example:
        >>> judge = COCOeval(coco, coco.loadRes("detections.json"), "bbox")  # doctest: +SKIP
        >>> judge.evaluate()  # doctest: +SKIP
        >>> judge.accumulate()  # doctest: +SKIP
        >>> judge.summarize()  # doctest: +SKIP
    """

    def __init__(
        self,
        cocoGt: Any = None,
        cocoDt: Any = None,
        iouType: str = "segm",
    ) -> None:
        if iouType not in IOU_TYPES:
            raise InputError(
                "iouType bbox or segm", shown(iouType), "use pycocotools for other types"
            )
        self.cocoGt, self.cocoDt = cocoGt, cocoDt
        self.params = Params(iouType)
        self.eval: dict[str, Any] = {}
        self.stats: Any = []
        self.olrp: dict[str, float | None] = {}
        self.lrp: LrpErrors | None = None
        self._read: tuple[GroundTruth, Detections, Any] | None = None
        self._matched: tuple[Params, ScoredMatches, np.ndarray] | None = None
        if cocoGt is not None:
            self._read = _read(cocoGt, cocoDt, iouType)
            truth = self._read[0]
            self.params.imgIds = truth.image_ids.tolist()
            self.params.catIds = truth.category_ids.tolist()

    @property
    def evalImgs(self) -> Any:
        """Not kept: all images are matched at once."""
        raise InputError(
            "numbers of the whole evaluation", "evalImgs", "use pycocotools for matches per image"
        )

    @property
    def ious(self) -> Any:
        """Not kept: only overlaps of at least 0.5 are computed."""
        raise InputError(
            "numbers of the whole evaluation", "ious", "use pycocotools for overlaps per image"
        )

    def evaluate(self) -> None:
        """Match the detections of all images.

        Raises:
            InputError: if there is nothing to evaluate, or the parameters are not supported.
        """
        start = time.time()
        print("Running per image evaluation...")
        print(f"Evaluate annotation type *{self.params.iouType}*")
        if self._read is None:
            raise InputError(
                "ground truth and detections", "none", "give cocoGt and cocoDt to COCOeval"
            )
        _check_params(self.params)
        truth, found, area = self._read
        if self.params.iouType not in truth.iou_types:
            self._read = truth, found, area = _read(self.cocoGt, self.cocoDt, self.params.iouType)
        self.params.imgIds = np.unique(self.params.imgIds).tolist()
        self.params.catIds = np.unique(self.params.catIds).tolist()
        self.params.maxDets = sorted(self.params.maxDets)
        truth = selected_ground_truth(truth, self.params.imgIds, self.params.catIds)
        found, kept = selected_detections(found, truth)
        if isinstance(area, np.ndarray):
            area = area[kept]
        limit = self.params.maxDets[-1]
        matches, gt_count = scored_matches(truth, found, self.params.iouType, area, limit)
        self._matched = copy.deepcopy(self.params), matches, gt_count
        print(f"DONE (t={time.time() - start:0.2f}s).")

    def accumulate(self, p: Params | None = None) -> None:
        """Compute precision, recall and oLRP.

        Args:
            p: pycocotools' parameters of a part of the evaluation; only all of it is supported.

        Raises:
            InputError: before `evaluate`, or if ``p`` is given.
        """
        start = time.time()
        print("Accumulating evaluation results...")
        if self._matched is None:
            raise InputError("an evaluation", "none", "call evaluate() first")
        if p is not None and p is not self.params:
            raise InputError(
                "accumulate() of the whole evaluation", "other params", "set params, evaluate again"
            )
        params, matches, gt_count = self._matched
        limited = [matches.within(limit) for limit in params.maxDets[:-1]] + [matches]
        curves = [
            accumulate(each, gt_count, (limit,))
            for each, limit in zip(limited, params.maxDets, strict=True)
        ]
        precision = np.stack([each.precision for each in curves], axis=-1)
        self.eval = {
            "params": params,
            "counts": list(precision.shape),
            "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            "precision": precision,
            "recall": np.concatenate([each.recall for each in curves], axis=-1),
            "scores": np.stack([recall_scores(each, gt_count) for each in limited], axis=-1),
        }
        self.lrp = optimal_lrp(matches, gt_count)
        self.olrp = _olrp(self.lrp)
        print(f"DONE (t={time.time() - start:0.2f}s).")

    def summarize(self) -> None:
        """Print the twelve lines of pycocotools and those of oLRP, and set ``stats``.

        Raises:
            InputError: before `accumulate`, or if there are not three limits of detections.
        """
        if not self.eval:
            raise InputError("accumulated numbers", "none", "call accumulate() first")
        limits = self.eval["params"].maxDets
        if len(limits) < 3:
            raise InputError("three numbers in params.maxDets", shown(limits), "add the others")
        low, middle, high = limits[:3]
        stats = [
            self._summary(True, limit=100),  # of pycocotools, whatever maxDets are
            self._summary(True, threshold=0.5, limit=high),
            self._summary(True, threshold=0.75, limit=high),
            *(self._summary(True, area=each, limit=high) for each in list(AREA_RANGES)[1:]),
            *(self._summary(False, limit=each) for each in (low, middle, high)),
            *(self._summary(False, area=each, limit=high) for each in list(AREA_RANGES)[1:]),
        ]
        self.stats = np.array(stats)
        for name, value in self.olrp.items():
            part, area = _named(name)
            value = -1.0 if value is None else value
            print(LINE.format("Optimal LRP Error", part, "0.50", area, limits[-1], value))

    def _summary(
        self,
        is_precision: bool,
        threshold: float | None = None,
        area: str = "all",
        limit: int = 100,
    ) -> float:
        params = self.eval["params"]
        places = [place for place, each in enumerate(params.maxDets) if each == limit]
        values = self.eval["precision" if is_precision else "recall"]
        if threshold is not None:
            values = values[np.where(threshold == params.iouThrs)[0]]
        values = values[..., [params.areaRngLbl.index(area)], places]
        present = values[values > -1]
        mean = float(np.mean(present)) if len(present) else -1.0
        title, kind = ("Average Precision", "(AP)") if is_precision else ("Average Recall", "(AR)")
        shown_iou = "0.50:0.95" if threshold is None else f"{threshold:0.2f}"
        print(LINE.format(title, kind, shown_iou, area, limit, mean))
        return mean

    def __str__(self) -> str:
        self.summarize()
        return ""


def _named(name: str) -> tuple[str, str]:
    """Return how a line names a part of oLRP, and its area range."""
    sizes = {"oLRPs": "small", "oLRPm": "medium", "oLRPl": "large"}
    if name in sizes:
        return "(oLRP)", sizes[name]
    return f"({name.replace('oLRP_', '').upper() if '_' in name else name})", "all"


def _olrp(lrp: LrpErrors) -> dict[str, float | None]:
    parts = {name: mean_of_defined(getattr(lrp, part)[:, 0]) for name, part in LRP_PARTS.items()}
    sizes = {
        f"oLRP{size}": mean_of_defined(lrp.error[:, place + 1]) for place, size in enumerate("sml")
    }
    return {**parts, **sizes}


def _read(truth: Any, found: Any, iou_type: str) -> tuple[GroundTruth, Detections, Any]:
    """Return the columns, and which area of a detection counts."""
    if found is None:
        raise InputError("detections", "None", "give cocoDt to COCOeval")
    ground_truth = read_ground_truth(_dataset(truth), iou_type, "coco")
    if isinstance(found, str | Path | list | Detections):
        return ground_truth, read_detections(found, ground_truth), "auto"
    rows: Any = _dataset(found)
    rows = rows.get("annotations") if isinstance(rows, dict) else rows
    detections = read_detections(rows, ground_truth)
    # loadRes has added an area to every row, and a box to every mask.
    if rows and all("area" in row for row in rows):
        return ground_truth, detections, fields.numbers(rows, "area", "detection")
    return ground_truth, detections, "auto"


def _dataset(source: Any) -> Any:
    """Return the parsed document of a COCO object; anything else as it is."""
    return source.dataset if hasattr(source, "dataset") else source


def _check_params(params: Params) -> None:
    """Refuse parameters that would change what is computed here.

    Args:
        params: of the evaluation.

    Raises:
        InputError: naming the first.
    """
    defaults = Params(params.iouType)
    for name in ("iouThrs", "recThrs", "areaRng", "areaRngLbl"):
        own, known = getattr(params, name), getattr(defaults, name)
        if np.shape(own) != np.shape(known) or not np.all(np.asarray(own) == np.asarray(known)):
            raise InputError(
                f"params.{name} of COCO, as COCOeval sets it",
                shown(own),
                "leave it as it is, or use pycocotools",
            )
    if not params.useCats:
        raise InputError(
            "params.useCats 1",
            shown(params.useCats),
            "give all annotations and detections one category to ignore the categories",
        )
    limits = params.maxDets
    is_list = isinstance(limits, Sequence | np.ndarray) and len(limits) > 0
    if not is_list or not all(float(each) == int(each) >= 1 for each in limits):
        raise InputError("params.maxDets as positive integers", shown(limits), "correct them")
    if len(set(limits)) != len(limits):
        warnings.warn("params.maxDets holds a number twice", stacklevel=3)
