"""Ranking pools."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def mean_over_pools(
    loss: Callable,
    logits: Tensor,
    targets: Tensor,
    pools: Tensor | None,
    per_positive: Tensor | None = None,
    **options,
):
    """Mean over the pools of ``loss``; without pools the loss of the whole list."""
    if pools is None:
        return loss(*_present(logits, targets, per_positive), **options)
    order = torch.argsort(pools, stable=True)
    sizes = torch.unique_consecutive(pools[order], return_counts=True)[1].tolist()
    parts = [logits[order].split(sizes), targets[order].split(sizes)]
    if per_positive is not None:
        order_of_positives = torch.argsort(pools[targets > 0], stable=True)
        counts = [int((part > 0).sum()) for part in parts[1]]
        parts.append(per_positive[order_of_positives].split(counts))
    values = [loss(*each, **options) for each in zip(*parts, strict=True)]
    if isinstance(values[0], tuple):
        return tuple(torch.stack(each).mean() for each in zip(*values, strict=True))
    return torch.stack(values).mean()


def _present(*inputs: Tensor | None) -> tuple[Tensor, ...]:
    return tuple(each for each in inputs if each is not None)
