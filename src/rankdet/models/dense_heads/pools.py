"""One ranking pool of a dense head: predictions and targets as flat vectors.

The official losses rank all anchors x classes of the images of one GPU together. A batch with more
images than that is cut along the image axis, and each part is a pool of its own (DESIGN 3.5); the
loss of the batch is the mean over its pools, which is what averaging the gradients of as many
processes gives. Cutting views costs no host synchronisation, other than a mask would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class DensePool:
    """Flat over (level, image, place, anchor), in this order; A anchors, C classes.

    Attributes:
        logits: (A, C).
        deltas: raw box predictions (A, 4).
        anchors: (A, 4) xyxy.
        labels: class of each anchor, C = background (A).
        label_weights: 0 marks an ignored anchor (A).
        box_targets: encoded or decoded, as the head's ``reg_decoded_bbox`` says (A, 4).
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    labels: Tensor
    label_weights: Tensor
    box_targets: Tensor

    def ranking_targets(self) -> Tensor:
        """Return (A, C): 1 at the class of a positive, 0 elsewhere, -1 in rows of ignored anchors.

        Source: specification of the official label vectorisation (LOSSES.md section 7).
        """
        # An extra column takes the background, so that no indices of positives are needed here.
        targets = self.logits.new_zeros(len(self.labels), self.logits.shape[1] + 1)
        targets.scatter_(1, self.labels[:, None].clamp(max=self.logits.shape[1]), 1.0)
        targets = targets[:, :-1]
        return torch.where(self.label_weights[:, None] > 0, targets, -1.0)

    def positives(self) -> Tensor:
        """Return the indices of the positive anchors (P), ascending.

        The number of positives shapes everything that follows: the one place that waits for the
        device.
        """
        is_positive = (self.labels < self.logits.shape[1]) & (self.label_weights > 0)
        return is_positive.nonzero().squeeze(1)

    def zero(self) -> Tensor:
        """Return a zero that is attached to every output, for a pool without positives."""
        return (self.logits.sum() + self.deltas.sum()) * 0


def dense_pools(
    cls_scores: list[Tensor],
    bbox_preds: list[Tensor],
    anchors: list[Tensor],
    labels: list[Tensor],
    label_weights: list[Tensor],
    box_targets: list[Tensor],
    pool_images: int | None,
) -> Iterator[DensePool]:
    """Cut a batch into its ranking pools.

    Args:
        cls_scores: per level (B, A C, h, w).
        bbox_preds: per level (B, A 4, h, w).
        anchors, labels, label_weights, box_targets: per level (B, h w A, ...).
        pool_images: images ranked together; None takes the whole batch.
    """
    batch = cls_scores[0].shape[0]
    size = pool_images or batch
    classes = cls_scores[0].shape[1] // (bbox_preds[0].shape[1] // 4)
    for first in range(0, batch, size):
        images = slice(first, first + size)

        def rows(levels: list[Tensor], width: int, images: slice = images) -> Tensor:
            parts = [level[images].permute(0, 2, 3, 1).reshape(-1, width) for level in levels]
            return torch.cat(parts)

        def flat(levels: list[Tensor], images: slice = images) -> Tensor:
            return torch.cat([level[images].flatten(0, 1) for level in levels])

        yield DensePool(
            logits=rows(cls_scores, classes),
            deltas=rows(bbox_preds, 4),
            anchors=flat(anchors),
            labels=flat(labels),
            label_weights=flat(label_weights),
            box_targets=flat(box_targets),
        )
