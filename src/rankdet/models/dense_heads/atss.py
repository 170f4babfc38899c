"""ATSS without centre-ness, with Rank & Sort Loss and with AP Loss."""

from __future__ import annotations

from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.models.dense_heads.ap import WeightedApTerms
from rankdet.models.dense_heads.preselection import AnchorPreselection
from rankdet.models.dense_heads.rank_sort import RankSortTerms
from rankdet.models.dense_heads.ranked import RankedDenseHead


class ScoresOnly:
    """Mixin in front of mmdet's ATSS head: without the branch that corrects the scores.

    That is centre-ness in ATSS and the predicted IoU in PAA: a ranking loss with IoU targets, or
    weights, needs neither (RS Loss, section 5.1).
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        del self.loss_centerness  # mmdet builds it from the base config

    def _init_layers(self) -> None:
        super()._init_layers()
        del self.atss_centerness

    def forward_single(self, x: Tensor, scale) -> tuple[Tensor, Tensor]:
        """Return logits (B, A C, h, w) and deltas (B, A 4, h, w) of one level."""
        cls_feat, reg_feat = x, x
        for convolution in self.cls_convs:
            cls_feat = convolution(cls_feat)
        for convolution in self.reg_convs:
            reg_feat = convolution(reg_feat)
        return self.atss_cls(cls_feat), scale(self.atss_reg(reg_feat)).float()

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in pixels."""
        return self.bbox_coder.decode(anchors, deltas)


@MODELS.register_module()
class RankSortATSSHead(RankSortTerms, ScoresOnly, AnchorPreselection, RankedDenseHead, ATSSHead):
    """ATSS head with Rank & Sort Loss, exact or bucketed (``loss_cls``)."""


@MODELS.register_module()
class ApATSSHead(WeightedApTerms, ScoresOnly, AnchorPreselection, RankedDenseHead, ATSSHead):
    """ATSS head with AP Loss, exact or bucketed (``loss_cls``)."""
