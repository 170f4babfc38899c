"""The loss step of aLRP Loss on a dense pool, with its self-balance."""

from __future__ import annotations

from torch import Tensor

from rankdet.losses import SelfBalance
from rankdet.models.box_terms import decode_on_unit_anchor, giou_errors_with_added_eps
from rankdet.models.dense_heads.pools import DensePool


class AlrpTerms:
    """aLRP Loss (Oksuz et al., NeurIPS 2020) on a dense pool.

    A localisation error is (1 - GIoU) / 2 / (1 - tau). The localisation part is multiplied by the
    self-balancing weight, whose state is saved with the model (the official one was lost when a
    run was resumed).

    Args:
        self_balance: arguments of `rankdet.losses.SelfBalance`; ``period`` in steps.
    """

    loss_names = ("loss_cls", "loss_bbox")
    tau = 0.5  # IoU from which on an anchor is positive: errors are 0..1 above it

    def __init__(self, *args, self_balance: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.self_balance = SelfBalance(**self_balance)

    def frame(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in the frame in which GIoU is computed: a unit anchor."""
        return decode_on_unit_anchor(self.bbox_coder, deltas)

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the classification and the unbalanced localisation part of one pool."""
        anchors = pool.anchors[positives]
        boxes = self.frame(anchors, pool.deltas[positives])
        targets = self.frame(anchors, pool.box_targets[positives])
        errors = giou_errors_with_added_eps(boxes, targets) / (2 * (1 - self.tau))
        classification, localization = self.loss_cls(
            pool.logits.flatten(), pool.ranking_targets().flatten(), errors
        )
        return dict(zip(self.loss_names, (classification, localization), strict=True))

    def combine(self, terms: dict[str, Tensor], any_positive: bool) -> dict[str, Tensor]:
        """Balance the localisation part; steps without positives leave the balance alone."""
        classification, localization = self.loss_names
        weight = self.self_balance.update(
            terms[classification], terms[localization], has_positives=any_positive
        )
        return terms | {localization: terms[localization] * weight}
