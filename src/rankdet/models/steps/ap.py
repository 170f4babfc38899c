"""The steps of AP Loss: with Smooth L1, and with a weighted GIoU loss."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmdet.registry import TASK_UTILS

from rankdet.models.boxes import giou_errors, score_weighted_mean
from rankdet.models.pools import RankedPool, RankingLoss, Terms


@TASK_UTILS.register_module()
class ApStep:
    """AP Loss and Smooth L1 on encoded boxes (Chen et al., CVPR 2019; baselines of aLRP Loss).

    The box term is the mean over the 4 P encoded numbers of the pool's positives, times
    ``loss_bbox.loss_weight``.
    """

    is_balanced = False

    def names(self, place: str) -> tuple[str, ...]:
        """Return the names of the terms."""
        return (f"loss_{place}cls", f"loss_{place}bbox")

    def __call__(self, pool: RankedPool, loss_cls: RankingLoss, loss_bbox: Any) -> Terms:
        """Return AP Loss and Smooth L1 of one pool."""
        ranking = loss_cls(pool.logits.flatten(), pool.ranking_targets().flatten())
        errors = F.smooth_l1_loss(
            pool.positive_deltas, pool.box_targets[pool.positives], beta=loss_bbox.beta
        )
        return ranking, loss_bbox.loss_weight * errors


@TASK_UTILS.register_module()
class WeightedApStep(ApStep):
    """AP Loss and 1 - GIoU weighted by the highest score (Yavuz et al., ECCV 2024, baselines).

    Hard targets and a fixed factor on the box term, ``loss_bbox.loss_weight``: unlike Rank & Sort,
    the box term is not balanced to the value of the ranking.
    """

    def __call__(self, pool: RankedPool, loss_cls: RankingLoss, loss_bbox: Any) -> Terms:
        """Return AP Loss and the weighted GIoU loss of one pool."""
        ranking = loss_cls(pool.logits.flatten(), pool.ranking_targets().flatten())
        errors = giou_errors(pool.boxes, pool.true_boxes)
        box = score_weighted_mean(errors, pool.positive_scores)
        return ranking, loss_bbox.loss_weight * box
