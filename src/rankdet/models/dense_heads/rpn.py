"""The RPN with Rank & Sort Loss and with aLRP Loss: on all anchors, without sampling."""

from __future__ import annotations

from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.models.box_terms import decode_on_unit_anchor
from rankdet.models.dense_heads.alrp import AlrpTerms
from rankdet.models.dense_heads.pools import DensePool
from rankdet.models.dense_heads.rank_sort import RankSortTerms
from rankdet.models.dense_heads.ranked import RankedDenseHead


class HeadWeight:
    """Mixin: all terms of the RPN are multiplied by one weight beside the RoI head's.

    Args:
        head_weight: 0.20 in aLRP Loss (section 5) and in RS Loss (section 5.2).
    """

    def __init__(self, *args, head_weight: float = 0.20, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.head_weight = head_weight

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of one pool."""
        terms = super().pool_losses(pool, positives)
        return {name: self.head_weight * value for name, value in terms.items()}


@MODELS.register_module()
class RankSortRPNHead(HeadWeight, RankSortTerms, RankedDenseHead, RPNHead):
    """RPN with Rank & Sort Loss. The bias of the classification starts at 0, as in mmdet."""

    loss_names = ("loss_rpn_rank", "loss_rpn_sort", "loss_rpn_bbox")

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes on the unit anchor, as the official RPN does."""
        return decode_on_unit_anchor(self.bbox_coder, deltas)


@MODELS.register_module()
class AlrpRPNHead(HeadWeight, AlrpTerms, RankedDenseHead, RPNHead):
    """RPN with aLRP Loss: positives from an IoU of 0.7 on; scores start at a prior of 0.01."""

    loss_names = ("loss_rpn_cls", "loss_rpn_bbox")
    tau = 0.7

    def __init__(self, *args, **kwargs) -> None:
        prior = dict(type="Normal", name="rpn_cls", std=0.01, bias_prob=0.01)
        kwargs.setdefault("init_cfg", dict(type="Normal", layer="Conv2d", std=0.01, override=prior))
        super().__init__(*args, **kwargs)
