"""FoveaBox with a ranking loss."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import FoveaHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.models.heads.dense import RankedDenseHead


@MODELS.register_module()
class RankedFoveaHead(RankedDenseHead, FoveaHead):
    """FoveaBox head with a ranking loss; its targets have the layout of anchor heads.

    A place has one prior, no place is ignored, and images without objects are all background (the
    official code stops where no image has one). The "anchor" of a place reaches one base edge of
    its level to each side: the box that a prediction of zeros gives.
    """

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in pixels around their place, from logarithms of distances.

        The official code confuses centers and scales in batches of several images; prediction and
        target share the wrong frame, and GIoU does not depend on it.
        """
        base = (anchors[:, 2:] - anchors[:, :2])[:, :1] / 2
        distances = base * deltas.exp()
        return torch.cat([-distances[:, :2], distances[:, 2:]], 1)

    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hw, ...)."""
        sizes = [tuple(scores.shape[-2:]) for scores in cls_scores]
        like = dict(dtype=bbox_preds[0].dtype, device=bbox_preds[0].device)
        points = self.prior_generator.grid_priors(sizes, **like)
        labels, box_targets = self.get_targets(gt_instances, sizes, points)
        batch = len(metas)
        counts = [batch * height * width for height, width in sizes]
        labels = [level.view(batch, -1) for level in labels.split(counts)]
        box_targets = [level.view(batch, -1, 4) for level in box_targets.split(counts)]
        anchors = [
            torch.cat([places - edge, places + edge], 1).expand(batch, -1, -1)
            for places, edge in zip(points, self.base_edge_list, strict=True)
        ]
        weights = [torch.ones_like(level, dtype=torch.float32) for level in labels]
        return anchors, labels, weights, box_targets
