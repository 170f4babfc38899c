"""Faster R-CNN's box head with aLRP Loss: all proposals, no background class."""

from __future__ import annotations

from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.models.balanced import SelfBalanced
from rankdet.models.box_terms import giou_errors_with_added_eps
from rankdet.models.roi_heads.pools import RoIPool
from rankdet.models.roi_heads.ranked import RankedBBoxHead


@MODELS.register_module()
class AlrpShared2FCBBoxHead(SelfBalanced, RankedBBoxHead, Shared2FCBBoxHead):
    """Two shared FCs, C sigmoid outputs without background (Oksuz et al., NeurIPS 2020).

    Localisation errors are 1 - GIoU: the halving of GIoU's range and 1 / (1 - tau) with tau = 0.5
    cancel. The balance is the head's own, apart from the RPN's.
    """

    def pool_losses(self, pool: RoIPool, boxes: Tensor, box_targets: Tensor) -> dict[str, Tensor]:
        """Return the classification and the unbalanced localisation part of one pool."""
        classification, localization = self.loss_cls(
            pool.logits.flatten(),
            pool.ranking_targets().flatten(),
            giou_errors_with_added_eps(boxes, box_targets),
        )
        return dict(zip(self.loss_names, (classification, localization), strict=True))
