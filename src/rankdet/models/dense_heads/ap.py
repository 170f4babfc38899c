"""The loss steps of AP Loss on a dense pool."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rankdet.models.box_terms import giou_errors, score_weighted_mean
from rankdet.models.dense_heads.pools import DensePool


class ApTerms:
    """AP Loss and Smooth L1 on encoded boxes (Chen et al., CVPR 2019; aLRP Loss's baselines).

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


class WeightedApTerms:
    """AP Loss beside 1 - GIoU weighted by the highest score (Yavuz et al., ECCV 2024, baselines).

    Hard targets and a fixed factor on the box term, ``loss_bbox.loss_weight``: other than with
    Rank & Sort, the box term is not balanced to the value of the ranking.
    """

    loss_names = ("loss_cls", "loss_bbox")

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return AP Loss and the weighted GIoU loss of one pool."""
        boxes = self.decode(pool.anchors[positives], pool.deltas[positives])
        weights = pool.logits[positives].detach().sigmoid().amax(1)
        box = score_weighted_mean(giou_errors(boxes, pool.box_targets[positives]), weights)
        loss_cls = self.loss_cls(pool.logits.flatten(), pool.ranking_targets().flatten())
        return {"loss_cls": loss_cls, "loss_bbox": self.loss_bbox.loss_weight * box}
