"""The step of Rank & Sort Loss, and the balance that box and mask terms share."""

from __future__ import annotations

from typing import Any

from mmdet.registry import TASK_UTILS
from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.boxes import aligned_iou, giou_errors, score_weighted_mean
from rankdet.models.pools import RankedPool, RankingLoss, Terms


def balanced_mean(errors: Tensor, weights: Tensor, value: Tensor) -> Tensor:
    """Return the weighted mean of ``errors``, scaled to ``value``.

    The localization term of Rank & Sort Loss, of boxes and of masks (Oksuz et al., ICCV 2021,
    sections 4 and 5.3): its gradient is scaled so that its value is that of ranking + sorting.

    Args:
        errors: of boxes or masks, with gradient (P).
        weights: highest scores of their places, detached (P).
        value: ranking + sorting loss of the pool, scalar.

    Returns:
        A scalar with the value of ``value`` and the scaled gradient of ``errors``.
    """
    return scale_to_value(score_weighted_mean(errors, weights), value)


def rank_sort_terms(
    loss_cls: RankingLoss, logits: Tensor, targets: Tensor, errors: Tensor, weights: Tensor
) -> Terms:
    """Compute the three terms of one pool.

    Args:
        loss_cls: `RankSortLoss`, or its bucketed form.
        logits: (A, C).
        targets: localization quality at the class of each positive, 0 elsewhere, -1 ignored (A, C).
        errors: localization errors of the positives, with gradient (P).
        weights: highest scores of the positives, detached (P).

    Returns:
        Ranking, sorting and balanced localization term, scalars.
    """
    ranking, sorting = loss_cls(logits.flatten(), targets.flatten())
    return ranking, sorting, balanced_mean(errors, weights, ranking + sorting)


@TASK_UTILS.register_module()
class RankSortStep:
    """Rank & Sort Loss (Oksuz et al., ICCV 2021, sections 3 and 4), exact or bucketed.

    Targets are the IoUs of the predicted boxes; 1 - GIoU is weighted by the highest score over all
    classes and balanced to the value of ranking + sorting. A positive whose IoU is exactly 0 takes
    part as a negative, as in the official code, and keeps its box term; where that holds for all
    positives, all terms are 0 (the official code stops).
    """

    is_balanced = False

    def names(self, place: str) -> tuple[str, ...]:
        """Return the names of the terms."""
        return (f"loss_{place}rank", f"loss_{place}sort", f"loss_{place}bbox")

    def __call__(self, pool: RankedPool, loss_cls: RankingLoss, loss_bbox: Any) -> Terms:
        """Return ranking, sorting and balanced box loss of one pool."""
        targets = pool.ranking_targets(aligned_iou(pool.boxes, pool.true_boxes))
        errors = giou_errors(pool.boxes, pool.true_boxes)
        return rank_sort_terms(loss_cls, pool.logits, targets, errors, pool.positive_scores)
