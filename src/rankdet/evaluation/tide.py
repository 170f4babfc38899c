"""Which errors cost how much AP50 (Bolya et al., "TIDE: A General Toolbox for Identifying Object
Detection Errors", 2020).

Every detection that is not true has one kind of error; an annotation that neither a detection nor a
fixed error accounts for is missed. The cost of a kind is the AP that is gained when an oracle fixes
all errors of this kind and no other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rankdet.evaluation.average_precision import ScoredMatches, accumulate
from rankdet.evaluation.columns import IOU_TYPES, Detections, GroundTruth, choose
from rankdet.evaluation.evaluator import (
    LIMITS,
    Matched,
    annotation_counts,
    matched,
    overlapping,
)
from rankdet.evaluation.matching import arrange, stable_descending
from rankdet.evaluation.reading import (
    paused_garbage_collector,
    read_detections,
    read_ground_truth,
)

FOREGROUND, BACKGROUND = 0.5, 0.1
# In this order; the first whose condition holds is the kind of a false positive.
FALSE_POSITIVES = ("Loc", "Cls", "Dupe", "Bkg", "Both")
KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")  # as in the paper's figures


@dataclass(frozen=True)
class Tide:
    """What `tide` returns.

    Attributes:
        ap50: AP at IoU 0.5, in [0, 1]; None if there are no annotations.
        gains: AP50 gained by fixing each kind of `KINDS`, and all false positives ("FP") or false
            negatives ("FN"); in [0, 1].
        counts: errors of each kind; false positives (FP) and false negatives (FN) that count.
        per_class: category_id, name and the counts of each category: false positives by the class
            of the detection, missed ones by that of the annotation.
    """

    ap50: float | None
    gains: dict[str, float]
    counts: dict[str, int]
    per_class: list[dict[str, Any]]

    @property
    def shares(self) -> dict[str, float]:
        """The gain of each kind divided by their sum; 0 where nothing is gained."""
        total = sum(self.gains[kind] for kind in KINDS)
        return {kind: self.gains[kind] / total if total else 0.0 for kind in KINDS}


def tide(
    annotations: str | Path | dict[str, Any] | GroundTruth,
    detections: str | Path | list[Any] | Detections,
    iou_type: Literal["bbox", "segm"] = "bbox",
    protocol: Literal["coco", "lvis"] | None = None,
) -> Tide:
    """Classify the errors at IoU 0.5, and compute what each kind costs.

    - Loc: the right class, IoU with an object of it from 0.1 to 0.5.
    - Cls: IoU of at least 0.5 with an object of another class.
    - Dupe: the right class and place, but a better detection has the object.
    - Bkg: IoU of at most 0.1 with every object.
    - Both: neither class nor place are right.
    - Miss: an annotation that no detection has, and that no Cls or Loc error would have if fixed.

    Only annotations that count are objects. Detections that are ignored, such as those on crowds,
    have a kind too and cost AP only if fixed. AP is the mean over classes with annotations, as in
    `evaluate`; the authors' toolkit counts classes without any as AP 0, and has other roundings of
    the recall levels.

    Args:
        annotations: see `rankdet.evaluation.evaluate`.
        detections: likewise.
        iou_type: overlap of boxes or of masks.
        protocol: "coco" or "lvis", see `rankdet.evaluation.evaluate`.

    Returns:
        Tide: counts and gains.

    Raises:
        InputError: on malformed input, see `rankdet.evaluation.evaluate`.
    """
    choose("iou_type", iou_type, IOU_TYPES)
    truth = read_ground_truth(annotations, (iou_type,), protocol)
    found = read_detections(detections, truth)
    with paused_garbage_collector():
        limit = LIMITS[truth.protocol][-1]
        done = matched(truth, found, iou_type, "auto", limit, thresholds=np.array([FOREGROUND]))
        return _result(_Study(truth, found, done, iou_type))


class _Study:
    """Who was matched, and the kind of error of who was not.

    Args:
        truth: the annotations.
        found: the detections.
        done: their matches at the foreground threshold.
        iou_type: "bbox" or "segm".
    """

    def __init__(self, truth: GroundTruth, found: Detections, done: Matched, iou_type: str) -> None:
        known = done.arrangement
        self.truth = truth
        self.category, self.score, self.by_score = known.category, known.score, known.by_score
        self.counts = annotation_counts(truth, ~done.gt_ignored)[:, 0]
        self.is_true, self.is_false = done.is_true(), done.is_false()
        # The authors' toolkit classifies ignored detections too: better placed, they would count.
        self.is_error = ~self.is_true
        self.is_object = ~done.gt_ignored[:, 0]  # by the row of the file, as what follows
        self.is_used = np.zeros(len(truth.category), dtype=bool)
        self.is_used[known.gt_row] = (done.matches.free & 1) == 0
        pairs = self._pairs(found, done, iou_type)
        self.kind, self.target = self._kinds(*pairs)
        self.is_best = self._best()
        self.is_missed = self.is_object & ~self.is_used
        self.is_usable = np.zeros(len(truth.category), dtype=bool)
        self.is_usable[self.target[self.target >= 0]] = True

    def _pairs(
        self, found: Detections, done: Matched, iou_type: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return errors, objects of any class on their images, and the IoU of both."""
        truth, known = self.truth, done.arrangement
        in_one = replace(
            truth,
            category=np.zeros_like(truth.category),
            category_ids=np.zeros(1, dtype=np.int64),
            category_names=["any"],
        )
        rows = np.sort(known.row[self.is_error])
        place = np.zeros(len(found), dtype=np.int64)
        place[known.row] = np.arange(len(known.row))
        nothing = np.zeros(len(found), dtype=np.int64)
        by_image = arrange(in_one, done.image, nothing, found.score, rows, None)
        pairs = overlapping(by_image, in_one, found, done.masks, iou_type, BACKGROUND)
        detection = place[by_image.row[pairs.detection]]
        annotation = by_image.gt_row[pairs.annotation]
        kept = self.is_object[annotation]
        return detection[kept], annotation[kept], pairs.iou[kept]

    def _kinds(
        self, detection: np.ndarray, annotation: np.ndarray, iou: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the kind of each detection, by index in `FALSE_POSITIVES`, -1 for none [N].

        And the annotation that a fixed Loc or Cls error would match, -1 for none [N].
        """
        is_same = self.category[detection] == self.truth.category[annotation]

        def highest(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            order = np.flatnonzero(chosen)
            order = order[np.lexsort((annotation[order], -iou[order], detection[order]))]
            first = order[np.flatnonzero(np.diff(detection[order], prepend=-1))]
            value, row = np.zeros(len(self.score)), np.full(len(self.score), -1)
            value[detection[first]], row[detection[first]] = iou[first], annotation[first]
            return value, row

        same, same_row = highest(is_same)
        other, other_row = highest(~is_same)
        taken, _ = highest(is_same & self.is_used[annotation])
        conditions = [
            (same >= BACKGROUND) & (same <= FOREGROUND),
            other >= FOREGROUND,
            taken >= FOREGROUND,
            np.maximum(same, other) <= BACKGROUND,
            np.ones(len(same), dtype=bool),
        ]
        kind = np.where(self.is_error, np.argmax(conditions, axis=0), -1)
        target = np.select([kind == 0, kind == 1], [same_row, other_row], -1)
        some = np.flatnonzero(target >= 0)
        target[some[self.is_used[target[some]]]] = -1
        return kind, target

    def _best(self) -> np.ndarray:
        """Return which detection has the highest score of those with the same target [N]."""
        some = np.flatnonzero(self.target >= 0)
        order = some[np.lexsort((some, -self.score[some], self.target[some]))]
        is_best = np.zeros(len(self.score), dtype=bool)
        is_best[order[np.flatnonzero(np.diff(self.target[order], prepend=-1))]] = True
        return is_best

    def ap(
        self,
        kept: np.ndarray,
        is_true: np.ndarray,
        category: np.ndarray | None = None,
        removed: np.ndarray | None = None,
    ) -> float | None:
        """Return AP at the foreground threshold.

        Args:
            kept: detections that are still there [N].
            is_true: true positives [N].
            category: of the detections [N], if it is another one.
            removed: annotations that do not count any more [G].

        Returns:
            The mean over the classes with annotations; None if there is none.
        """
        category = self.category if category is None else category
        counts = self.counts
        if removed is not None:
            counts = counts - np.bincount(self.truth.category[removed], minlength=len(counts))
        order = self.by_score[kept[self.by_score]]
        order = order[stable_descending(self.score[order])]
        order = order[np.argsort(category[order], kind="stable")]
        position = np.flatnonzero(is_true[order])
        flags = np.ones((1, 1, len(position)), dtype=bool)
        matches = ScoredMatches(
            category=category[order],
            image=np.zeros(len(order), dtype=np.int64),
            rank=np.zeros(len(order), dtype=np.int64),
            score=self.score[order],
            costs=np.ones((1, len(order)), dtype=bool),
            position=position,
            is_matched=flags,
            is_true=flags,
            iou=np.ones((1, len(position))),
        )
        precision = accumulate(matches, counts[:, None], (1,)).precision[0, :, :, 0]
        # A class whose annotations were all removed stays, with AP 0, as long as it has detections.
        has_any = np.bincount(category[order], minlength=len(counts)) > 0
        counted = (self.counts > 0) & ((counts > 0) | has_any)
        return float(np.maximum(precision[:, counted], 0).mean()) if counted.any() else None


def _result(study: _Study) -> Tide:
    every = study.is_true | study.is_false
    base = study.ap(every, study.is_true)
    missed = study.is_missed & ~study.is_usable
    classes = len(study.counts)
    per_kind = {
        kind: np.bincount(study.category[study.kind == place], minlength=classes)
        for place, kind in enumerate(FALSE_POSITIVES)
    }
    per_kind["Miss"] = np.bincount(study.truth.category[missed], minlength=classes)
    gains = dict.fromkeys((*KINDS, "FP", "FN"), 0.0)
    if base is not None:
        for place, kind in enumerate(FALSE_POSITIVES):
            # Rounding of the curve to 101 levels can make a fix cost a little: that is no gain.
            gains[kind] = max((_fixed(study, place) or 0.0) - base, 0.0)
        gains["Miss"] = max((study.ap(every, study.is_true, removed=missed) or 0.0) - base, 0.0)
        gains["FP"] = (study.ap(study.is_true, study.is_true) or 0.0) - base
        gains["FN"] = (study.ap(every, study.is_true, removed=study.is_missed) or 0.0) - base
    counts = {kind: int(per_kind[kind].sum()) for kind in KINDS}
    counts |= {"FP": int(study.is_false.sum()), "FN": int(study.is_missed.sum())}
    columns = zip(study.truth.category_ids.tolist(), study.truth.category_names, strict=True)
    rows = [
        {"category_id": key, "name": name, **{kind: int(per_kind[kind][k]) for kind in KINDS}}
        for k, (key, name) in enumerate(columns)
    ]
    return Tide(base, gains, counts, rows)


def _fixed(study: _Study, kind: int) -> float | None:
    """Return AP with all errors of one kind fixed: the best one of an object counts, others go."""
    is_kind = study.kind == kind
    is_repaired = is_kind & study.is_best
    category = study.category
    if FALSE_POSITIVES[kind] == "Cls":
        category = np.where(is_repaired, study.truth.category[study.target], category)
    kept = ((study.is_true | study.is_false) & ~is_kind) | is_repaired
    return study.ap(kept, study.is_true | is_repaired, category)
