"""RetinaNet and the RPN with Parameterized AP Loss: one loss for class and box."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.models.box_terms import decode_on_unit_anchor, giou_qualities
from rankdet.models.dense_heads.pools import DensePool
from rankdet.models.dense_heads.preselection import AnchorPreselection
from rankdet.models.dense_heads.ranked import RankedDenseHead
from rankdet.models.gradient_scale import ScaledBoxGradient


class ParameterizedApTerms(ScaledBoxGradient):
    """Parameterized AP Loss (Tao et al., NeurIPS 2021) on a dense pool.

    The quality of a positive is (GIoU + 1) / 2 with its gradient: through it the one loss trains
    the boxes, too. GIoU is computed on a unit anchor, with mmdet 2.0's epsilon.
    """

    loss_names = ("loss_pap",)

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and deltas of a level; deltas pass on a scaled gradient."""
        return self.scale_boxes(super().forward_single(x))

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the one loss of one pool."""
        boxes = decode_on_unit_anchor(self.bbox_coder, pool.deltas[positives])
        wanted = decode_on_unit_anchor(self.bbox_coder, pool.box_targets[positives])
        qualities = torch.zeros_like(pool.logits).index_put(
            (positives, pool.labels[positives]), giou_qualities(boxes, wanted)
        )
        targets = pool.ranking_targets()
        loss = self.loss_cls(pool.logits.flatten(), qualities.flatten(), targets.flatten())
        return {self.loss_names[0]: loss}


@MODELS.register_module()
class ParameterizedApRetinaHead(
    ParameterizedApTerms, AnchorPreselection, RankedDenseHead, RetinaHead
):
    """RetinaNet head with Parameterized AP Loss."""


@MODELS.register_module()
class ParameterizedApRPNHead(ParameterizedApTerms, RankedDenseHead, RPNHead):
    """RPN with Parameterized AP Loss; scores start at a prior of 0.01.

    What the sampler leaves out is ignored: the published setting still draws 256 anchors.
    """

    loss_names = ("loss_rpn_pap",)

    def __init__(self, *args, **kwargs) -> None:
        prior = dict(type="Normal", name="rpn_cls", std=0.01, bias_prob=0.01)
        kwargs.setdefault("init_cfg", dict(type="Normal", layer="Conv2d", std=0.01, override=prior))
        super().__init__(*args, **kwargs)
