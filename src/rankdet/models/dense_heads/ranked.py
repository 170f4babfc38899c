"""What all ranking dense heads share: targets as in mmdet, then one loss step per pool."""

from __future__ import annotations

import torch
from mmdet.models.task_modules.assigners import ATSSAssigner
from mmdet.models.utils import images_to_levels
from mmdet.structures.bbox import cat_boxes
from torch import Tensor

from rankdet.models.dense_heads.pools import DensePool, dense_pools


class RankedDenseHead:
    """Mixin in front of an anchor head of mmdet; replaces its ``loss_by_feat``.

    A subclass gives `pool_losses`; it may override `combine`.

    Args:
        pool_images: images ranked together (DESIGN 3.5); None takes the whole batch.
    """

    def __init__(self, *args, pool_images: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pool_images = pool_images

    def pool_losses(self, pool: DensePool, positives: Tensor) -> dict[str, Tensor]:
        """Return the loss terms of one pool, given the indices of its positives (P)."""
        raise TypeError(f"{type(self).__name__} must define pool_losses")

    def combine(self, terms: dict[str, Tensor], any_positive: bool) -> dict[str, Tensor]:
        """Turn the mean terms of the pools into the losses of the step."""
        return terms

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            cls_scores: logits per level (B, A C, h, w).
            bbox_preds: deltas per level (B, A 4, h, w).
            batch_gt_instances: per image ``bboxes`` (n, 4) and ``labels`` (n).
            batch_img_metas: per image.
            batch_gt_instances_ignore: per image boxes whose anchors take no part.

        Returns:
            Scalars by name. Without any positive: zeros attached to every output (where the
            official code prints 1, or stops).
        """
        cls_scores = [scores.float() for scores in cls_scores]
        bbox_preds = [deltas.float() for deltas in bbox_preds]
        targets = self.level_targets(
            cls_scores, bbox_preds, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        )
        collected: list[dict[str, Tensor]] = []
        any_positive = False
        for pool in dense_pools(cls_scores, bbox_preds, *targets, self.pool_images):
            positives = pool.positives()
            if len(positives):
                any_positive = True
                collected.append(self.pool_losses(pool, positives))
            else:
                collected.append(dict.fromkeys(self.loss_names, pool.zero()))
        terms = {
            name: torch.stack([losses[name] for losses in collected]).mean()
            for name in self.loss_names
        }
        return self.combine(terms, any_positive)

    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hwA, ...)."""
        sizes = [scores.shape[-2:] for scores in cls_scores]
        anchors, valid = self.get_anchors(sizes, metas, device=cls_scores[0].device)
        counts = [level.size(0) for level in anchors[0]]
        found = self.get_targets(
            anchors, valid, gt_instances, metas, batch_gt_instances_ignore=ignored
        )
        if isinstance(self.assigner, ATSSAssigner):  # then the anchors come first
            return found[:4]
        joined = [cat_boxes(list(levels)) for levels in anchors]
        return (images_to_levels(joined, counts), *found[:3])
