"""aLRP's localisation errors as this code base computes them."""

from __future__ import annotations

from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from rankdet.errors import InputError
from rankdet.models.ap_code.pixel_boxes import to_edges
from rankdet.models.ap_code.self_balance import WindowedSelfBalance
from rankdet.models.box_terms import decode_on_unit_anchor, giou_errors_with_added_eps
from rankdet.models.dense_heads.alrp import AlrpTerms


class WidenedAlrpTerms(AlrpTerms):
    """`AlrpTerms` on unit boxes that count one unit too much.

    Boxes are decoded on an anchor of width 1, and then measured as if x2 named a pixel: a width of
    1 counts as 2. Errors are about halved by that. The published models were trained with it.

    Args:
        box_measure: "giou" or "iou".
    """

    balance = WindowedSelfBalance

    def __init__(self, *args, box_measure: str = "giou", **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if box_measure not in ("giou", "iou"):
            raise InputError("box_measure 'giou' or 'iou'", repr(box_measure), "choose one")
        self.box_measure = box_measure
        self.unit_coder = DeltaXYWHBBoxCoder(target_stds=self.bbox_coder.stds)

    def frame(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) on the unit anchor, one unit wider than they are."""
        return to_edges(decode_on_unit_anchor(self.unit_coder, deltas))

    def box_errors(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Return 1 - GIoU, or 2 (1 - IoU), whose range is the same (P)."""
        if self.box_measure == "iou":
            return 2 * (1 - bbox_overlaps(boxes, targets, is_aligned=True))
        return giou_errors_with_added_eps(boxes, targets, eps=1e-7)
