"""Best-anchor assignment."""

from __future__ import annotations

from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class BestAnchorAssigner(MaxIoUAssigner):
    """mmdet's `MaxIoUAssigner`, but a best anchor keeps the object it overlaps most itself.

    All anchors that share an object's best IoU are positive, however small it is; their class and
    box are those of the anchor's own best object, where mmdet hands them over to the object.

    An object that meets no anchor at all has none (the official rule would take every anchor).
    """

    def __init__(self, **settings) -> None:
        super().__init__(match_low_quality=False, **settings)

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assign by the IoU of k objects with n anchors (k, n); labels (k)."""
        result = super().assign_wrt_overlaps(overlaps, gt_labels)
        if overlaps.numel() == 0:
            return result
        best_of_object = overlaps.amax(1, keepdim=True)
        is_best = ((overlaps == best_of_object) & (overlaps > 0)).any(0)
        own_best = overlaps.max(0).indices  # the first of equal ones
        result.gt_inds = own_best.add(1).where(is_best, result.gt_inds)
        result.labels = gt_labels[own_best].where(is_best, result.labels)
        return result
