"""Rank & Sort Loss on dense heads: ATSS without centre-ness, and the RPN without sampling."""

from __future__ import annotations

from mmdet.models.dense_heads import ATSSHead, RPNHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.box_terms import (
    aligned_iou,
    decode_on_unit_anchor,
    giou_errors,
    score_weighted_mean,
)
from rankdet.models.dense_heads.pools import DensePool
from rankdet.models.dense_heads.ranked import RankedDenseHead


class RankSortTerms:
    """The loss step of Rank & Sort (Oksuz et al., ICCV 2021, sections 3 and 4) on a dense pool.

    Targets are the IoUs of the predicted boxes; 1 - GIoU is weighted by the highest score of the
    anchor over all classes and balanced to the value of ranking + sorting. A positive whose IoU is
    exactly 0 takes part as a negative, as in the official code, and keeps its box term.
    """

    loss_names = ("loss_rank", "loss_sort", "loss_bbox")

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in the frame in which the box term is computed."""
        return self.bbox_coder.decode(anchors, deltas)

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return ranking, sorting and balanced box loss of one pool."""
        anchors = pool.anchors[positives]
        boxes = self.decode(anchors, pool.deltas[positives])
        box_targets = pool.box_targets[positives]
        if not self.reg_decoded_bbox:
            box_targets = self.decode(anchors, box_targets)
        targets = pool.ranking_targets()
        targets[positives, pool.labels[positives]] = aligned_iou(boxes, box_targets)
        ranking, sorting = self.loss_cls(pool.logits.flatten(), targets.flatten())
        weights = pool.logits[positives].detach().sigmoid().amax(1)
        box = score_weighted_mean(giou_errors(boxes, box_targets), weights)
        box = scale_to_value(box, ranking + sorting)
        return {"loss_rank": ranking, "loss_sort": sorting, "loss_bbox": box}


@MODELS.register_module()
class RankSortATSSHead(RankSortTerms, RankedDenseHead, ATSSHead):
    """ATSS head with Rank & Sort Loss; the centre-ness branch is removed (section 5.1)."""

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


@MODELS.register_module()
class RankSortRPNHead(RankSortTerms, RankedDenseHead, RPNHead):
    """RPN with Rank & Sort Loss on all anchors.

    Args:
        head_weight: weight of all three terms beside the RoI head's (0.20 in the paper).
    """

    loss_names = ("loss_rpn_rank", "loss_rpn_sort", "loss_rpn_bbox")

    def __init__(self, *args, head_weight: float = 0.20, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.head_weight = head_weight

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes on the unit anchor, as the official RPN does."""
        return decode_on_unit_anchor(self.bbox_coder, deltas)

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the three terms of one pool under the RPN's names."""
        terms = super().pool_losses(pool, positives)
        return {
            name.replace("loss_", "loss_rpn_"): self.head_weight * value
            for name, value in terms.items()
        }
