"""ATSS without centerness and with a ranking loss."""

from __future__ import annotations

from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from torch import Tensor, nn

from rankdet.models.heads.dense import RankedDenseHead


class ScoresOnly:
    """In front of mmdet's ATSS head: without the branch that corrects the scores.

    That is centerness in ATSS and the predicted IoU in PAA: a ranking loss with IoU targets, or
    weights, needs neither (Oksuz et al., ICCV 2021, section 5.1).
    """

    # Of mmdet's head.
    atss_centerness: nn.Module
    atss_cls: nn.Module
    atss_reg: nn.Module
    cls_convs: nn.ModuleList
    loss_centerness: nn.Module
    reg_convs: nn.ModuleList

    def __init__(self, *args, **settings) -> None:
        super().__init__(*args, **settings)
        del self.loss_centerness  # mmdet builds it from the base config

    def _init_layers(self) -> None:
        super()._init_layers()  # type: ignore[misc]
        del self.atss_centerness

    def forward_single(self, x: Tensor, scale: nn.Module, /) -> tuple[Tensor, ...]:
        """Return logits (B, A C, h, w) and deltas (B, A 4, h, w) of one level."""
        cls_feat, reg_feat = x, x
        for convolution in self.cls_convs:
            cls_feat = convolution(cls_feat)
        for convolution in self.reg_convs:
            reg_feat = convolution(reg_feat)
        return self.atss_cls(cls_feat), scale(self.atss_reg(reg_feat)).float()


@MODELS.register_module()
class RankedATSSHead(RankedDenseHead, ScoresOnly, ATSSHead):
    """ATSS head with a ranking loss on boxes in pixels."""

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in pixels."""
        return self.bbox_coder.decode(anchors, deltas)
