"""The loss step of aLRP Loss on a dense pool."""

from __future__ import annotations

from torch import Tensor

from rankdet.models.balanced import SelfBalanced
from rankdet.models.box_terms import decode_on_unit_anchor, giou_errors_with_added_eps
from rankdet.models.dense_heads.pools import DensePool


class AlrpTerms(SelfBalanced):
    """aLRP Loss (Oksuz et al., NeurIPS 2020) on a dense pool.

    A localisation error is (1 - GIoU) / 2 / (1 - tau).
    """

    tau = 0.5  # IoU from which on an anchor is positive: errors are 0..1 above it

    def frame(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in the frame in which GIoU is computed: a unit anchor."""
        return decode_on_unit_anchor(self.bbox_coder, deltas)

    def box_errors(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Return 1 - GIoU of box i with target i, with gradient (P)."""
        return giou_errors_with_added_eps(boxes, targets)

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the classification and the unbalanced localisation part of one pool."""
        anchors = pool.anchors[positives]
        boxes = self.frame(anchors, pool.deltas[positives])
        targets = self.frame(anchors, pool.box_targets[positives])
        errors = self.box_errors(boxes, targets) / (2 * (1 - self.tau))
        classification, localization = self.loss_cls(
            pool.logits.flatten(), pool.ranking_targets().flatten(), errors
        )
        return dict(zip(self.loss_names, (classification, localization), strict=True))
