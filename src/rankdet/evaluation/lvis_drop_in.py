"""lvis-api's LVISEval with oLRP besides, for scripts that are written against lvis-api.

Only the import changes: ``from rankdet.evaluation import LVISEval``.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields
from rankdet.evaluation.average_precision import RECALL_LEVELS, THRESHOLDS, accumulate
from rankdet.evaluation.columns import FREQUENCIES, IOU_TYPES, Detections, GroundTruth
from rankdet.evaluation.evaluator import LIMITS, scored_matches
from rankdet.evaluation.lrp import LrpErrors, optimal_lrp
from rankdet.evaluation.metrics import AREA_RANGES, summarize
from rankdet.evaluation.reading import read_detections, read_ground_truth

LIMIT = LIMITS["lvis"][0]
LINE = " {:<18} {} @[ IoU={:<9} | area={:>6s} | maxDets={:>3d} catIds={:>3s}] = {:0.3f}"
PRECISION = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
RECALL = {"AR": "", "ARs": "s", "ARm": "m", "ARl": "l"}


class LVISParams:
    """The parameters of lvis-api; only its defaults are supported.

    Args:
        iou_type: "bbox" or "segm".
    """

    def __init__(self, iou_type: str) -> None:
        self.img_ids: Any = []
        self.cat_ids: Any = []
        self.iou_thrs: Any = THRESHOLDS.copy()
        self.rec_thrs: Any = RECALL_LEVELS.copy()
        self.max_dets: Any = LIMIT
        self.area_rng: Any = [list(bounds) for bounds in AREA_RANGES.values()]
        self.area_rng_lbl: Any = list(AREA_RANGES)
        self.use_cats: Any = 1
        self.img_count_lbl: Any = list(FREQUENCIES)
        self.iou_type = iou_type


class LVISEval:
    """Evaluate as lvis-api does, and compute oLRP in the same pass.

    Args:
        lvis_gt: an ``LVIS`` object, or whatever `read_ground_truth` takes.
        lvis_dt: an ``LVISResults`` object, or whatever `read_detections` takes.
        iou_type: "segm" or "bbox".

    Attributes:
        params: see `LVISParams`; they cannot be changed.
        eval: after `accumulate`: "precision" [T, R, K, A], "recall" [T, K, A], "counts", "params",
            "date".
        results: after `summarize`, AP to APf, AR@300 to ARl@300; -1 where there is none.
        olrp: after `accumulate`, oLRP, its parts, and oLRPr, oLRPc, oLRPf; None where undefined.
        lrp: after `accumulate`, the same per category and area range, with the optimal score.

    Raises:
        InputError: on malformed input, and for parameters that are not those of lvis-api.

    Example:
        >>> judge = LVISEval("lvis_v1_val.json", "detections.json", "bbox")  # doctest: +SKIP
        >>> judge.run()  # doctest: +SKIP
        >>> judge.print_results()  # doctest: +SKIP
    """

    def __init__(self, lvis_gt: Any, lvis_dt: Any, iou_type: str = "segm") -> None:
        if iou_type not in IOU_TYPES:
            raise InputError("iou_type bbox or segm", shown(iou_type), "choose one of them")
        self.lvis_gt, self.lvis_dt = lvis_gt, lvis_dt
        self.eval: dict[str, Any] = {}
        self.results: dict[str, float] = {}
        self.olrp: dict[str, float | None] = {}
        self.lrp: LrpErrors | None = None
        self._numbers: dict[str, float | None] = {}
        self._matched: Any = None
        self._read = _read(lvis_gt, lvis_dt, iou_type)
        self.params = self._defaults(iou_type)

    def _defaults(self, iou_type: str) -> LVISParams:
        params = LVISParams(iou_type)
        params.img_ids = self._read[0].image_ids.tolist()
        params.cat_ids = self._read[0].category_ids.tolist()
        return params

    def evaluate(self) -> None:
        """Match the detections of all images.

        Raises:
            InputError: if the parameters were changed.
        """
        known = vars(self._defaults(self.params.iou_type))
        for name, value in vars(self.params).items():
            if np.shape(value) != np.shape(known[name]) or not np.all(
                np.asarray(value) == np.asarray(known[name])
            ):
                raise InputError(
                    f"params.{name} as LVISEval sets it",
                    shown(value),
                    "leave it as it is, or give annotations and detections of a part of the data",
                )
        truth, found, area = self._read
        self._matched = scored_matches(truth, found, self.params.iou_type, area, LIMIT)

    def accumulate(self) -> None:
        """Compute precision, recall and oLRP.

        Raises:
            InputError: before `evaluate`.
        """
        if self._matched is None:
            raise InputError("an evaluation", "none", "call evaluate() first")
        matches, gt_count = self._matched
        curves = accumulate(matches, gt_count, (LIMIT,))
        self.eval = {
            "params": self.params,
            "counts": list(curves.precision.shape),
            "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            "precision": curves.precision,
            "recall": curves.recall[..., 0],
        }
        self.lrp = optimal_lrp(matches, gt_count)
        truth = self._read[0]
        classes = truth.category_ids, truth.category_names, truth.frequency
        self._numbers = summarize(curves, self.lrp, (LIMIT,), *classes).numbers
        self.olrp = {name: each for name, each in self._numbers.items() if name.startswith("oLRP")}

    def summarize(self) -> None:
        """Set ``results``.

        Raises:
            InputError: before `accumulate`.
        """
        if not self.eval:
            raise InputError("accumulated numbers", "none", "call accumulate() first")
        names = {name: name for name in PRECISION}
        names |= {f"{name}@{LIMIT}": f"AR{size or LIMIT}" for name, size in RECALL.items()}
        values = {name: self._numbers[own] for name, own in names.items()}
        self.results = {name: -1.0 if each is None else each for name, each in values.items()}

    def run(self) -> None:
        """Call `evaluate`, `accumulate` and `summarize`."""
        self.evaluate()
        self.accumulate()
        self.summarize()

    def get_results(self) -> dict[str, float]:
        """Return ``results``; empty before `run`."""
        return self.results

    def print_results(self) -> None:
        """Print the lines of lvis-api, then those of oLRP."""
        for key, value in self.results.items():
            title, kind = ("Average Precision", "(AP)") if key in PRECISION else _RECALL_TITLE
            extra = key[2:3]
            iou = f"{float(key[2:]) / 100:0.2f}" if extra.isdigit() else "0.50:0.95"
            area, group = (extra if extra in each and extra else "all" for each in ("sml", "rcf"))
            print(LINE.format(title, kind, iou, area, LIMIT, group, value))
        for key, part in self.olrp.items():
            group = key[4:] if key[4:] in FREQUENCIES else "all"
            kind = f"({key.partition('_')[2].upper()})" if "_" in key else "(oLRP)"
            value = -1.0 if part is None else part
            print(LINE.format("Optimal LRP Error", kind, "0.50", "all", LIMIT, group, value))


_RECALL_TITLE = ("Average Recall", "(AR)")


def _read(truth: Any, found: Any, iou_type: str) -> tuple[GroundTruth, Detections, Any]:
    """Return the columns, and which area of a detection counts."""
    source = truth.dataset if hasattr(truth, "dataset") else truth
    ground_truth = read_ground_truth(source, iou_type, "lvis")
    if isinstance(found, str | Path | list | Detections):
        return ground_truth, read_detections(found, ground_truth), "auto"
    rows = found.dataset["annotations"] if hasattr(found, "dataset") else found
    detections = read_detections(rows, ground_truth)
    # LVISResults has added an area to every row, and a box to every mask.
    if rows and all("area" in row for row in rows):
        return ground_truth, detections, fields.numbers(rows, "area", "detection")
    return ground_truth, detections, "auto"
