"""The step of aLRP Loss."""

from __future__ import annotations

from typing import Any

from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from rankdet.errors import InputError
from rankdet.models.boxes import giou_errors_with_added_eps
from rankdet.models.pools import RankedPool, RankingLoss, Terms


@TASK_UTILS.register_module()
class AlrpStep:
    """aLRP Loss (Oksuz et al., NeurIPS 2020, section 4).

    A localization error is (1 - GIoU) / 2 / (1 - tau). The localization part is multiplied by the
    head's own self-balancing weight (section 4.3), which is saved with the model (the official one
    was lost when a run was resumed).

    Args:
        tau: IoU from which on a place is positive: errors of such boxes are 0..1. 0.5, in the RPN
            0.7.
        box_measure: "giou", or "iou" for (1 - IoU) / (1 - tau).
        giou_eps: what GIoU adds to areas: 1e-6 in mmdetection 2.0, 1e-7 in the AP-Loss code.

    Raises:
        InputError: for another measure.
    """

    is_balanced = True

    def __init__(self, tau: float = 0.5, box_measure: str = "giou", giou_eps: float = 1e-6) -> None:
        if box_measure not in ("giou", "iou"):
            raise InputError("box_measure 'giou' or 'iou'", repr(box_measure), "choose one")
        self.tau = tau
        self.box_measure = box_measure
        self.giou_eps = giou_eps

    def names(self, place: str) -> tuple[str, ...]:
        """Return the names of the terms: in an RoI head mmdet's own, as in the official code."""
        place = "" if place == "roi_" else place
        return (f"loss_{place}cls", f"loss_{place}bbox")

    def __call__(self, pool: RankedPool, loss_cls: RankingLoss, loss_bbox: Any) -> Terms:
        """Return the classification and the unbalanced localization part of one pool."""
        errors = self.box_errors(pool.boxes, pool.true_boxes) / (2 * (1 - self.tau))
        return loss_cls(pool.logits.flatten(), pool.ranking_targets().flatten(), errors)

    def box_errors(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Return 1 - GIoU, or 2 (1 - IoU), whose range is the same: (P, 4), (P, 4) -> (P)."""
        if self.box_measure == "iou":
            return 2 * (1 - bbox_overlaps(boxes, targets, is_aligned=True))
        return giou_errors_with_added_eps(boxes, targets, self.giou_eps)
