"""What all ranking box heads share: targets as in mmdet, then one loss step per pool."""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.models.roi_heads.pools import RoIPool, roi_pools


class RankedBBoxHead:
    """Mixin in front of a box head of mmdet; replaces its ``loss_and_target``.

    A subclass gives ``loss_names`` and `pool_losses`; it may override `combine`. The head needs
    ``reg_decoded_bbox=True``: all box terms are computed on boxes.

    Args:
        pool_images: images ranked together (DESIGN 3.5); None takes the whole batch.
    """

    def __init__(self, *args, pool_images: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pool_images = pool_images

    def pool_losses(self, pool: RoIPool, boxes: Tensor, box_targets: Tensor) -> dict[str, Tensor]:
        """Return the loss terms of one pool.

        Args:
            pool: its RoIs.
            boxes: predicted boxes of its positives, with gradient (P, 4).
            box_targets: their ground truth (P, 4).
        """
        raise TypeError(f"{type(self).__name__} must define pool_losses")

    def combine(self, terms: dict[str, Tensor], any_positive: bool) -> dict[str, Tensor]:
        """Turn the mean terms of the pools into the losses of the step."""
        return terms

    def loss_and_target(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        sampling_results: list,
        rcnn_train_cfg: dict,
        concat: bool = True,
        reduction_override: str | None = None,
    ) -> dict:
        """Compute the losses of all RoIs of a batch.

        Args:
            cls_score: logits (N, C).
            bbox_pred: deltas (N, 4 C), or (N, 4) if class-agnostic.
            rois: image index and box (N, 5), image by image.
            sampling_results: of each image; what the sampler kept is ranked, all of it.
            rcnn_train_cfg: mmdet's training config of the stage.

        Returns:
            ``loss_bbox``: scalars by name; zeros attached to both outputs where no pool has a
            positive (the official Rank & Sort code prints 1). ``bbox_targets``: as mmdet, for
            cascades. ``pools`` and ``pool_terms``: the pools and the terms of each, for a mask
            head.
        """
        targets = self.get_targets(sampling_results, rcnn_train_cfg, concat=True)
        labels, _, box_targets, _ = targets
        counts = [len(result.priors) for result in sampling_results]
        pools = list(
            roi_pools(
                cls_score.float(),
                bbox_pred.float(),
                rois,
                labels,
                box_targets,
                counts,
                self.pool_images,
            )
        )
        terms = [self._terms(pool) for pool in pools]
        means = {name: torch.stack([t[name] for t in terms]).mean() for name in self.loss_names}
        any_positive = any(len(pool.positives) for pool in pools)
        return dict(
            loss_bbox=self.combine(means, any_positive),
            bbox_targets=targets,
            pools=pools,
            pool_terms=terms,
        )

    def _terms(self, pool: RoIPool) -> dict[str, Tensor]:
        if not len(pool.positives):
            return dict.fromkeys(self.loss_names, pool.zero())
        boxes = self.bbox_coder.decode(pool.rois[pool.positives, 1:], pool.positive_deltas())
        return self.pool_losses(pool, boxes, pool.box_targets[pool.positives])
