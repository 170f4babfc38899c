"""Faster R-CNN's box head with Parameterized AP Loss: all proposals, no background class."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.models.box_terms import giou_qualities
from rankdet.models.gradient_scale import ScaledBoxGradient
from rankdet.models.roi_heads.pools import RoIPool
from rankdet.models.roi_heads.ranked import RankedBBoxHead


@MODELS.register_module()
class ParameterizedApShared2FCBBoxHead(ScaledBoxGradient, RankedBBoxHead, Shared2FCBBoxHead):
    """Two shared FCs, C sigmoid outputs without background (Tao et al., NeurIPS 2021).

    As in `rankdet.models.dense_heads.parameterized_ap`, with functions and a gradient scale of its
    own, on decoded boxes in the image.
    """

    loss_names = ("loss_roi_pap",)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, C) and deltas (N, 4 C); deltas pass on a scaled gradient."""
        return self.scale_boxes(super().forward(x))

    def pool_losses(self, pool: RoIPool, boxes: Tensor, box_targets: Tensor) -> dict[str, Tensor]:
        """Return the one loss of one pool."""
        qualities = torch.zeros_like(pool.logits).index_put(
            (pool.positives, pool.labels[pool.positives]), giou_qualities(boxes, box_targets)
        )
        targets = pool.ranking_targets()
        loss = self.loss_cls(pool.logits.flatten(), qualities.flatten(), targets.flatten())
        return {self.loss_names[0]: loss}
