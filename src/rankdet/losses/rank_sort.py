"""Rank & Sort Loss (Oksuz et al., ICCV 2021), exact."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses.common import Ranking, flat_gradient, value_dtype, zero_loss
from rankdet.losses.pools import mean_over_pools
from rankdet.losses.sorting import sorting_errors
from rankdet.losses.validation import check_delta, check_eps, check_logits_and_targets
from rankdet.losses.window_sums import sums_over_positives


class _RankSortLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, delta, eps):
        ranking = Ranking(logits, targets, delta)
        false_positives, positives = ranking.false_positives, ranking.positives
        rank_positives = sums_over_positives(positives, torch.ones_like(positives), delta)
        rank = rank_positives + false_positives
        ranking_error = false_positives / rank
        qualities = targets[ranking.flat].to(torch.float64)
        sorting_error, sorting_gradient = sorting_errors(
            positives, qualities, rank_positives, delta, eps
        )
        is_wrong = false_positives > eps
        count = positives.numel()
        coefficients = torch.where(is_wrong, 1 / rank, 0.0) / count
        ranking_gradient = torch.where(is_wrong, -ranking_error, 0.0) / count
        ranking.save(ctx, logits, coefficients, ranking_gradient, sorting_gradient / count)
        dtype = value_dtype(logits)
        return ranking_error.mean().to(dtype), sorting_error.mean().to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_ranking, of_sorting):
        return flat_gradient(ctx, of_ranking, of_sorting), None, None, None


@torch.compiler.disable
def rank_sort_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    delta: float = 0.5,
    eps: float = 1e-10,
    pools: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Rank & Sort Loss: (ranking, sorting), each with its own gradient."""
    check_logits_and_targets(logits, targets, pools)
    check_delta(delta, zero_allowed=True)
    check_eps(eps)
    return mean_over_pools(_one_pool, logits, targets, pools, delta=float(delta), eps=float(eps))


def _one_pool(logits, targets, delta, eps):
    if not bool((targets > 0).any()):
        return zero_loss(logits), zero_loss(logits)
    return _RankSortLoss.apply(logits, targets, delta, eps)
