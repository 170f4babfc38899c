"""Ranking pools: which images are ranked together.

The published losses rank the logits of all images of one GPU in one list. A process that holds more
images than that can cut its batch into pools of as many images, compute all losses of each pool by
itself, and average them: the gradients are those that data-parallel training gives over processes
of one pool each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from rankdet.losses._checks import check_count

Losses = TypeVar("Losses", Tensor, "tuple[Tensor, ...]", "dict[str, Tensor]")


class RankingPools:
    """Cut a batch into ranking pools and average their losses.

    Give `mean` the **whole** loss of a pool, box terms included: a term that is scaled to
    the value of the ranking, as by `scale_to_value`, has another scale in every pool.

    Args:
        pool_images: images ranked together, as many as one GPU of the recipe held. None takes the
            whole batch as one pool.

    Raises:
        InputError: (a ValueError) if ``pool_images`` is no whole number >= 1.

    Example:
        >>> import torch
        >>> from rankdet.losses import RankingPools, ap_loss
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]], requires_grad=True)
        >>> targets = torch.tensor([[1, 0], [1, 0]])  # 2 images of 2 logits
        >>> def loss(images):
        ...     return ap_loss(logits[images].flatten(), targets[images].flatten())
        >>> RankingPools(pool_images=1).mean(2, loss).item(), loss(slice(0, 2)).item()
        (0.25, 0.380952388048172)
    """

    def __init__(self, pool_images: int | None) -> None:
        if pool_images is not None:
            fix = "use the number of images per GPU of the recipe"
            pool_images = check_count("pool_images >= 1 or None", pool_images, fix)
        self.pool_images = pool_images

    def slices(self, images: int) -> list[slice]:
        """Return the pools of a batch as slices along its image axis.

        Args:
            images: size of the batch. The last pool holds what is left. An empty batch is one
                empty pool, so that its losses are attached to the outputs.

        Returns:
            At least one slice, of `pool_images` images each but the last.
        """
        size = self.pool_images or max(images, 1)
        return [slice(first, min(first + size, images)) for first in range(0, max(images, 1), size)]

    def mean(self, images: int, loss: Callable[[slice], Losses]) -> Losses:
        """Return the mean of the losses over the pools of a batch.

        Args:
            images: size of the batch.
            loss: computes all losses of one pool from the slice of its images: a scalar, a tuple
                or a dictionary of scalars, of the same form for each pool. A pool without
                positives gives zeros and counts in the mean, as a process without any does.

        Returns:
            The same form.
        """
        found: Losses = _mean([loss(each) for each in self.slices(images)])
        return found


def _mean(pools: list[Any]) -> Any:
    first = pools[0]
    if isinstance(first, Tensor):
        return torch.stack(pools).mean()
    if isinstance(first, Mapping):
        return {name: torch.stack([each[name] for each in pools]).mean() for name in first}
    return tuple(torch.stack(each).mean() for each in zip(*pools, strict=True))
