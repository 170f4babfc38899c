"""One ranking pool of an RoI head: predictions and targets of the RoIs that are ranked together.

As in `rankdet.models.dense_heads.pools`: the images of one GPU of the official run, C classes of
all their RoIs. The RoIs of a batch stand image by image, so a pool is a slice of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass
class RoIPool:
    """N RoIs of a few images, C classes.

    Attributes:
        logits: (N, C).
        deltas: raw box predictions (N, 4 C), or (N, 4) if class-agnostic.
        rois: image index and box xyxy (N, 5).
        labels: class of each RoI, C = background (N).
        box_targets: boxes xyxy (N, 4).
    """

    logits: Tensor
    deltas: Tensor
    rois: Tensor
    labels: Tensor
    box_targets: Tensor

    @cached_property
    def positives(self) -> Tensor:
        """Indices of the positive RoIs (P), ascending; the first use waits for the device."""
        return (self.labels < self.logits.shape[1]).nonzero().squeeze(1)

    def positive_deltas(self) -> Tensor:
        """Return the deltas (P, 4) of the positives, of their own class if class-specific."""
        chosen = self.deltas[self.positives]
        if chosen.shape[1] == 4:
            return chosen
        rows = torch.arange(len(chosen), device=chosen.device)
        return chosen.view(len(chosen), -1, 4)[rows, self.labels[self.positives]]

    def positive_scores(self) -> Tensor:
        """Return the highest score over all classes of each positive (P), detached.

        It weights the positive's box and mask term (LOSSES.md 8.3).
        """
        return self.logits[self.positives].detach().sigmoid().amax(1)

    def ranking_targets(self, values: Tensor | float = 1.0) -> Tensor:
        """Return (N, C): ``values`` (P) at the class of each positive, 0 elsewhere."""
        targets = torch.zeros_like(self.logits)
        targets[self.positives, self.labels[self.positives]] = values
        return targets

    def zero(self) -> Tensor:
        """Return a zero that is attached to both outputs, for a pool without positives."""
        return (self.logits.sum() + self.deltas.sum()) * 0


def roi_pools(
    logits: Tensor,
    deltas: Tensor,
    rois: Tensor,
    labels: Tensor,
    box_targets: Tensor,
    counts: list[int],
    pool_images: int | None,
) -> Iterator[RoIPool]:
    """Cut the RoIs of a batch into its ranking pools.

    Args:
        logits, deltas, rois, labels, box_targets: of all RoIs, image by image.
        counts: RoIs of each image.
        pool_images: images ranked together; None takes the whole batch.
    """
    size = pool_images or max(len(counts), 1)
    start = 0
    for first in range(0, max(len(counts), 1), size):
        stop = start + sum(counts[first : first + size])
        rows = slice(start, stop)
        yield RoIPool(logits[rows], deltas[rows], rois[rows], labels[rows], box_targets[rows])
        start = stop
