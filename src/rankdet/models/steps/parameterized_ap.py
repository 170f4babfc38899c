"""The step of Parameterized AP Loss: one loss for class and box."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import TASK_UTILS

from rankdet.models.boxes import giou_qualities
from rankdet.models.pools import RankedPool, RankingLoss, Terms


@TASK_UTILS.register_module()
class ParameterizedApStep:
    """Parameterized AP Loss (Tao et al., NeurIPS 2021).

    The quality of a positive is (GIoU + 1) / 2 with its gradient: through it the one loss trains
    the boxes, too, with the head's ``box_gradient_scale`` in place of a weight.
    """

    is_balanced = False

    def names(self, place: str) -> tuple[str, ...]:
        """Return the name of the one term."""
        return (f"loss_{place}pap",)

    def __call__(self, pool: RankedPool, loss_cls: RankingLoss, loss_bbox: Any) -> Terms:
        """Return the one loss of one pool."""
        qualities = torch.zeros_like(pool.logits).index_put(
            (pool.positives, pool.positive_labels), giou_qualities(pool.boxes, pool.true_boxes)
        )
        targets = pool.ranking_targets()
        return (loss_cls(pool.logits.flatten(), qualities.flatten(), targets.flatten()),)
