"""The loss step of Rank & Sort Loss on a dense pool."""

from __future__ import annotations

from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.box_terms import aligned_iou, giou_errors, score_weighted_mean
from rankdet.models.dense_heads.pools import DensePool


class RankSortTerms:
    """The loss step of Rank & Sort (Oksuz et al., ICCV 2021, sections 3 and 4) on a dense pool.

    Targets are the IoUs of the predicted boxes; 1 - GIoU is weighted by the highest score of the
    anchor over all classes and balanced to the value of ranking + sorting. A positive whose IoU is
    exactly 0 takes part as a negative, as in the official code, and keeps its box term; where that
    holds for all positives, all terms are 0 (the official code stops).

    ``loss_cls`` gives the ranking and the sorting part: `RankSortLoss`, or its bucketed form.
    """

    loss_names = ("loss_rank", "loss_sort", "loss_bbox")

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
        return dict(zip(self.loss_names, (ranking, sorting, box), strict=True))
