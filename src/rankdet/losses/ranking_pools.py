"""Ranking pools: which images are ranked together.

The published losses rank the logits of all images of one GPU in one list. A process that holds more
images than that can cut its batch into pools of as many images, compute all losses of each pool by
itself, and average them: the gradients are those that data-parallel training gives over processes
of one pool each. The other way round, `GlobalPool` ranks the images of all processes together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.errors import InputError
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


class GlobalPool:
    """Rank the places of all processes of torch.distributed in one list.

    Gather what a loss ranks, and call the loss on the whole: every process computes the same value,
    and its own outputs receive their part of the gradient, times the number of processes. DDP
    averages the gradients of the processes, so parameters receive exactly what one process with all
    images would give them. The papers rank the images of each process by themselves; this is an
    option for small batches per process, as with large images.

    Memory and time per process are those of the loss on all W n logits (W processes of n logits):
    the gathered logits and targets and the temporaries of the loss, about 6 arrays of W n float64
    at the peak. Sizes may differ; shorter lists are filled up while they are sent.

    Args:
        group: of torch.distributed; None is the default group. Without an initialized group, or
            with one process, everything is as without a pool.

    Raises:
        InputError: (a ValueError) for lists that are not flat.

    Example:
        >>> import torch
        >>> from rankdet.losses import GlobalPool, rank_sort_loss
        >>> pool, logits = GlobalPool(), torch.tensor([2.0, 1.5, 1.8], requires_grad=True)
        >>> ranking, sorting = pool(rank_sort_loss, logits, torch.tensor([0.5, 0.0, 0.9]))
        >>> round(ranking.item(), 4), round(sorting.item(), 4)
        (0.0714, 0.1167)
    """

    def __init__(self, group: Any = None) -> None:
        self.group = group

    def __call__(self, loss: Callable[..., Any], *lists: Tensor, **settings: Any) -> Any:
        """Return ``loss`` of the gathered lists.

        Args:
            loss: a loss of `rankdet.losses`, or any function of flat lists.
            *lists: logits [n], targets [n], and what else the loss takes: aLRP's errors [P], the
                qualities [n] of Parameterized AP. Every process gives as many lists, of the same
                dtypes, in the same order of calls; their lengths may differ.
            **settings: passed to ``loss``.

        Returns:
            What ``loss`` returns, the same in every process.
        """
        return loss(*(self.gather(each) for each in lists), **settings)

    def gather(self, values: Tensor) -> Tensor:
        """Return the values of all processes, those of process 0 first.

        Args:
            values: of this process [n]. All processes have to call; n may be 0.

        Returns:
            [n_0 + n_1 + ...], with a graph to ``values``: its gradient is that of its own part,
            times the number of processes.

        Raises:
            InputError: unless the values are flat.
        """
        if values.ndim != 1:
            got = f"shape {list(values.shape)}"
            raise InputError("a flat list [n] to gather", got, "flatten it: .reshape(-1)")
        if not _is_shared(self.group):
            return values
        return _gather(values, self.group)

    def __reduce__(self) -> Any:
        # A group is of its process: a copy in a file or in another process takes the default one.
        return GlobalPool, ()


def _is_shared(group: Any) -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: Any) -> Tensor:
        world, rank = dist.get_world_size(group), dist.get_rank(group)
        own = torch.tensor([values.numel()], device=values.device)
        counts = [torch.zeros_like(own) for _ in range(world)]
        dist.all_gather(counts, own, group=group)
        sizes = [int(each) for each in torch.cat(counts).tolist()]
        filled = torch.nn.functional.pad(values, (0, max(sizes) - values.numel()))
        parts = [torch.empty_like(filled) for _ in sizes]
        dist.all_gather(parts, filled.contiguous(), group=group)
        ctx.world, ctx.start, ctx.count = world, sum(sizes[:rank]), values.numel()
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor, None]:
        return incoming[ctx.start : ctx.start + ctx.count] * ctx.world, None


_gather: Callable[..., Tensor] = _Gather.apply
