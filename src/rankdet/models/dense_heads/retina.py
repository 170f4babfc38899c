"""RetinaNet with AP Loss and with aLRP Loss."""

from __future__ import annotations

import torch.nn.functional as F
from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.losses import SelfBalance
from rankdet.models.box_terms import decode_on_unit_anchor, giou_errors
from rankdet.models.dense_heads.pools import DensePool
from rankdet.models.dense_heads.ranked import RankedDenseHead


@MODELS.register_module()
class ApRetinaHead(RankedDenseHead, RetinaHead):
    """RetinaNet head with AP Loss and Smooth L1 (Chen et al., CVPR 2019; aLRP Loss's baseline).

    The box term is the mean over the 4 P encoded numbers of the pool's positives.
    """

    loss_names = ("loss_cls", "loss_bbox")

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return AP Loss and Smooth L1 of one pool."""
        loss_cls = self.loss_cls(pool.logits.flatten(), pool.ranking_targets().flatten())
        errors = F.smooth_l1_loss(
            pool.deltas[positives], pool.box_targets[positives], beta=self.loss_bbox.beta
        )
        return {"loss_cls": loss_cls, "loss_bbox": self.loss_bbox.loss_weight * errors}


@MODELS.register_module()
class AlrpRetinaHead(RankedDenseHead, RetinaHead):
    """RetinaNet head with aLRP Loss (Oksuz et al., NeurIPS 2020); MaxIoU assignment.

    Localisation errors are 1 - GIoU: the halving of GIoU's range and 1 / (1 - tau) with tau = 0.5
    cancel. The localisation part is multiplied by the self-balancing weight, whose state is saved
    with the model (the official one was lost on resume).

    Args:
        self_balance: arguments of `rankdet.losses.SelfBalance`; ``period`` in steps.
    """

    loss_names = ("loss_cls", "loss_bbox")

    def __init__(self, *args, self_balance: dict, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.self_balance = SelfBalance(**self_balance)

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the classification and the unbalanced localisation part of one pool."""
        boxes = decode_on_unit_anchor(self.bbox_coder, pool.deltas[positives])
        targets = decode_on_unit_anchor(self.bbox_coder, pool.box_targets[positives])
        classification, localization = self.loss_cls(
            pool.logits.flatten(), pool.ranking_targets().flatten(), giou_errors(boxes, targets)
        )
        return {"loss_cls": classification, "loss_bbox": localization}

    def combine(self, terms: dict[str, Tensor], any_positive: bool) -> dict[str, Tensor]:
        """Balance the localisation part; steps without positives leave the balance alone."""
        if any_positive:
            weight = self.self_balance.update(terms["loss_cls"], terms["loss_bbox"])
            terms["loss_bbox"] = terms["loss_bbox"] * weight
        return terms


@MODELS.register_module()
class AlrpATSSRetinaHead(AlrpRetinaHead):
    """`AlrpRetinaHead` with ATSS assignment (Zhang et al., CVPR 2020), the paper's best setting.

    ATSS looks at the pyramid levels, which mmdet's RetinaNet head does not pass to its assigner;
    the target methods are those of mmdet's ATSS head. No centre-ness is added.
    """

    get_targets = ATSSHead.get_targets
    _get_targets_single = ATSSHead._get_targets_single
    get_num_level_anchors_inside = ATSSHead.get_num_level_anchors_inside
