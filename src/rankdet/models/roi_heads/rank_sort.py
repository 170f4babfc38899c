"""Faster R-CNN's box head with Rank & Sort Loss: no sampling, no background class."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.box_terms import aligned_iou, giou_errors, score_weighted_mean


class RankedBBoxHead:
    """Mixin in front of a box head of mmdet; replaces its ``loss`` by one step per pool.

    A subclass gives `pool_losses` and ``loss_names``.

    Args:
        pool_images: images ranked together (DESIGN 3.5); None takes the whole batch.
    """

    def __init__(self, *args, pool_images: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pool_images = pool_images

    def loss(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of all RoIs of a batch.

        Args:
            cls_score: logits (N, C).
            bbox_pred: deltas (N, 4 C), or (N, 4) if class-agnostic.
            rois: image index and box (N, 5).
            labels: class, C = background (N).
            label_weights, bbox_weights: weights of mmdet's sampling; all RoIs count here.
            bbox_targets: boxes (``reg_decoded_bbox``) (N, 4).

        Returns:
            Scalars by name; zeros attached to both outputs where no pool has a positive.
        """
        cls_score, bbox_pred = cls_score.float(), bbox_pred.float()
        collected = []
        for rows in self._pools(rois):
            scores, deltas = cls_score[rows], bbox_pred[rows]
            positives = (labels[rows] < self.num_classes).nonzero().squeeze(1)
            if len(positives):
                boxes = self._decode(rois[rows], deltas, labels[rows], positives)
                targets = bbox_targets[rows][positives]
                collected.append(self.pool_losses(scores, labels[rows], positives, boxes, targets))
            else:
                zero = (scores.sum() + deltas.sum()) * 0
                collected.append(dict.fromkeys(self.loss_names, zero))
        return {
            name: torch.stack([losses[name] for losses in collected]).mean()
            for name in self.loss_names
        }

    def _pools(self, rois: Tensor) -> list:
        """Return the rows of each ranking pool."""
        if self.pool_images is None or not len(rois):
            return [slice(None)]
        pool = torch.div(rois[:, 0], self.pool_images, rounding_mode="floor")
        count = int(pool.max()) + 1
        return [slice(None)] if count == 1 else [pool == index for index in range(count)]

    def _decode(self, rois: Tensor, deltas: Tensor, labels: Tensor, positives: Tensor) -> Tensor:
        """Return the boxes (P, 4) of the positives, of their own class if class-specific."""
        chosen = deltas[positives]
        if not self.reg_class_agnostic:
            chosen = chosen.view(len(positives), -1, 4)
            chosen = chosen[torch.arange(len(positives), device=labels.device), labels[positives]]
        return self.bbox_coder.decode(rois[positives, 1:], chosen)


@MODELS.register_module()
class RankSortShared2FCBBoxHead(RankedBBoxHead, Shared2FCBBoxHead):
    """Two shared FCs, C sigmoid outputs without background (RS Loss, section 5.2).

    As in `rankdet.models.dense_heads.rank_sort`: IoU targets, 1 - GIoU weighted by the highest
    score, balanced to the value of ranking + sorting.
    """

    loss_names = ("loss_roi_rank", "loss_roi_sort", "loss_bbox")

    def pool_losses(
        self, scores: Tensor, labels: Tensor, positives: Tensor, boxes: Tensor, box_targets: Tensor
    ) -> dict[str, Tensor]:
        """Return ranking, sorting and balanced box loss of one pool.

        Args:
            scores: logits (N, C).
            labels: class of each RoI (N).
            positives: indices of the positives (P).
            boxes: their predicted boxes (P, 4).
            box_targets: their ground truth (P, 4).
        """
        targets = torch.zeros_like(scores)
        targets[positives, labels[positives]] = aligned_iou(boxes, box_targets)
        ranking, sorting = self.loss_cls(scores.flatten(), targets.flatten())
        weights = scores[positives].detach().sigmoid().amax(1)
        box = score_weighted_mean(giou_errors(boxes, box_targets), weights)
        box = scale_to_value(box, ranking + sorting)
        return dict(zip(self.loss_names, (ranking, sorting, box), strict=True))
