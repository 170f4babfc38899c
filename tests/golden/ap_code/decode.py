"""Kind ``decode``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rankdet.models.ap_code.heads import merge_views
from tests.golden.ap_code.cases import BOXES, Case, Check, replays
from tests.golden.ap_code.heads import build_head, grid

SCORES = 1e-6
ROUNDED = 1e-5  # of boxes stored as float32
TIE = 1e-7  # scores that float32 cannot tell apart


@replays("decode")
def replay_decoding(check: Check) -> None:
    """Compare candidates and final detections of one image, or of several views of it."""
    about = check.case.about
    head = build_head("ae_ap", about["num_classes"]).eval()
    views = list(_views(check.case))
    without_nms = ConfigDict(head.test_cfg, nms=None, max_per_img=-1)
    candidates = [_decoded(head, *view, without_nms) for view in views]
    metas, limits = [view[1] for view in views], [view[2] for view in views]
    if "size_limit" in about:
        found = merge_views(candidates, metas, limits, head.test_cfg)
        every = merge_views(candidates, metas, limits, without_nms)
    else:
        found, every = _decoded(head, *views[0], head.test_cfg), candidates[0]
    if "pre_nms_count" in check.case.arrays:
        _check_candidates(check, head.candidates(*views[0][0], metas[0], head.test_cfg))
    _check_detections(check, found, every)


def _views(case: Case) -> Iterator[tuple[tuple, dict, float]]:
    """Yield predictions per level, what is told of the image, and the size limit of each view."""
    about = case.about
    if "size_limit" not in about:
        meta = dict(img_shape=about["unpadded_hw"], scale_factor=(about["scale"],) * 2)
        yield _levels(case, "", tuple(about["input_hw"])), meta, 0
        return
    for scale, factor in enumerate(about["scale"]):
        size, shape = tuple(about["input_hw"][scale]), about["unpadded_hw"][scale]
        for start, flip in ((f"scale{scale}_", False), (f"scale{scale}_flip_", True)):
            meta = dict(img_shape=shape, scale_factor=(factor,) * 2, flip=flip)
            yield _levels(case, start, size), meta, about["size_limit"][scale]


def _levels(case: Case, start: str, size: tuple[int, int]) -> tuple[list[Tensor], list[Tensor]]:
    """Return logits and deltas per level (A k, h, w) of one input."""
    return tuple(
        [
            case.tensor(f"{start}{name}_level{level}").reshape(*place, -1).permute(2, 0, 1)
            for level, place in enumerate(grid(size))
        ]
        for name in ("cls", "reg")
    )


def _decoded(head: nn.Module, levels: tuple, meta: dict, _limit: float, cfg) -> InstanceData:
    return head._predict_by_feat_single(*levels, [None] * 5, None, meta, cfg, rescale=True)


def _check_candidates(check: Check, found: InstanceData) -> None:
    arrays = check.case.arrays
    check.equal("number of candidates", len(found), arrays["pre_nms_count"])
    ours, theirs = _order(found.scores.numpy()), _order(arrays["pre_nms_score"])
    for name, values, atol in (
        ("score", found.scores, SCORES),
        ("box", found.bboxes, ROUNDED),
        ("label", found.labels, 0),
    ):
        stored = arrays[f"pre_nms_{name}"][theirs]
        check.close(f"candidates: {name}", values.numpy()[ours], stored, atol)


def _order(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")


def _check_detections(check: Check, found: InstanceData, candidates: InstanceData) -> None:
    """Compare detections as x, y, w, h; those of equal score may come in any order.

    Where several candidates share a score, the order in which a sort puts them decides which of
    two that overlap stays, and which are the last of 100. So a recorded detection may be missing
    if it is a candidate here, and other candidates have its score.
    """
    arrays = check.case.arrays
    check.close("scores", found.scores, arrays["ae_score"], SCORES)
    stored = np.column_stack([arrays["ae_bbox_xywh"], arrays["ae_score"], arrays["ae_label"]])
    ours, every = _rows(found), _rows(candidates)
    exchanged = 0
    for row in stored:
        error = _nearest(ours, row)
        if error <= BOXES:
            check.worst = max(check.worst, error / BOXES)
        elif _nearest(every, row) <= BOXES and (np.abs(every[:, 4] - row[4]) < TIE).sum() > 1:
            exchanged += 1
        else:
            text = f"no detection of class {int(row[5])} at {np.round(row[:4], 3)}"
            check.problems.append(text)
    if exchanged:
        check.notes.append(f"{exchanged} detections of tied scores are others")


def _rows(found: InstanceData) -> np.ndarray:
    """Return x, y, w, h, score and label of every detection (n, 6)."""
    boxes = found.bboxes.numpy()
    sizes = boxes[:, 2:] - boxes[:, :2]
    return np.column_stack([boxes[:, :2], sizes, found.scores.numpy(), found.labels.numpy()])


def _nearest(rows: np.ndarray, wanted: np.ndarray) -> float:
    """Return how far the nearest box of the same label and score is."""
    same = rows[(rows[:, 5] == wanted[5]) & (np.abs(rows[:, 4] - wanted[4]) < SCORES)]
    return float(np.abs(same[:, :4] - wanted[:4]).max(1).min()) if len(same) else np.inf
