"""Faster R-CNN's box head with Rank & Sort Loss: no sampling, no background class."""

from __future__ import annotations

from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.box_terms import aligned_iou, giou_errors, score_weighted_mean
from rankdet.models.roi_heads.pools import RoIPool
from rankdet.models.roi_heads.ranked import RankedBBoxHead


@MODELS.register_module()
class RankSortShared2FCBBoxHead(RankedBBoxHead, Shared2FCBBoxHead):
    """Two shared FCs, C sigmoid outputs without background (RS Loss, section 5.2).

    As in `rankdet.models.dense_heads.rank_sort`: IoU targets, 1 - GIoU weighted by the highest
    score, balanced to the value of ranking + sorting. Serves every stage of a cascade, too.
    """

    loss_names = ("loss_roi_rank", "loss_roi_sort", "loss_roi_bbox")

    def pool_losses(self, pool: RoIPool, boxes: Tensor, box_targets: Tensor) -> dict[str, Tensor]:
        """Return ranking, sorting and balanced box loss of one pool."""
        targets = pool.ranking_targets(aligned_iou(boxes, box_targets))
        ranking, sorting = self.loss_cls(pool.logits.flatten(), targets.flatten())
        box = score_weighted_mean(giou_errors(boxes, box_targets), pool.positive_scores())
        box = scale_to_value(box, ranking + sorting)
        return dict(zip(self.loss_names, (ranking, sorting, box), strict=True))
