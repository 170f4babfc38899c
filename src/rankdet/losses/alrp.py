"""aLRP Loss (Oksuz et al., NeurIPS 2020), exact."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses.common import Ranking, flat_gradient, value_dtype, zero_loss
from rankdet.losses.pools import mean_over_pools
from rankdet.losses.validation import (
    check_delta,
    check_eps,
    check_localization_errors,
    check_logits_and_targets,
)
from rankdet.losses.window_sums import sums_over_positives


class _ALRPClassification(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, localization_errors, delta, eps):
        ranking = Ranking(logits, targets, delta)
        false_positives, positives = ranking.false_positives, ranking.positives
        rank_positives = sums_over_positives(positives, torch.ones_like(positives), delta) + 0.5
        rank = rank_positives + false_positives
        errors = localization_errors.to(torch.float64)[ranking.order]
        others = sums_over_positives(positives, errors, delta) - errors / 2
        is_wrong = false_positives > eps
        target_gap = torch.where(is_wrong, (false_positives + others) / rank, 0.0)
        count = positives.numel()
        coefficients = torch.where(is_wrong, target_gap / false_positives, 0.0) / count
        ranking.save(ctx, logits, coefficients, -target_gap / count)
        value = (false_positives / rank).mean().to(value_dtype(logits))
        ctx.mark_non_differentiable(rank, ranking.order)
        return value, rank, ranking.order

    @staticmethod
    @once_differentiable
    def backward(ctx, incoming, _rank, _order):
        return flat_gradient(ctx, incoming), None, None, None, None


def alrp_localization_loss(localization_errors: Tensor, rank: Tensor, order: Tensor) -> Tensor:
    """Mean over the positives of (errors of all higher-scored ones and its own) / rank."""
    errors = localization_errors.to(torch.float64)[order.flip(0)]
    return (errors.cumsum(0) / rank.flip(0)).mean()


@torch.no_grad()
def ranks(logits: Tensor, targets: Tensor, *, delta: float = 1.0) -> Tensor:
    """Rank of each positive, in flat order [P]: 1 + positives above it + negatives above it."""
    ranking = Ranking(logits, targets, delta)
    ones = torch.ones_like(ranking.positives)
    rank_positives = sums_over_positives(ranking.positives, ones, delta) + 0.5
    in_flat_order = torch.empty_like(rank_positives)
    in_flat_order[ranking.order] = rank_positives + ranking.false_positives
    return in_flat_order


@torch.compiler.disable
def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    localization_errors: Tensor,
    *,
    delta: float = 1.0,
    eps: float = 1e-5,
    pools: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """ALRP Loss: (classification, localization), both per pool and averaged over the pools."""
    check_logits_and_targets(logits, targets, pools)
    check_delta(delta)
    check_eps(eps)
    check_localization_errors(localization_errors, targets)
    return mean_over_pools(
        _one_pool,
        logits,
        targets,
        pools,
        per_positive=localization_errors,
        delta=float(delta),
        eps=float(eps),
    )


def _one_pool(logits, targets, localization_errors, delta, eps):
    if not bool((targets > 0).any()):
        return zero_loss(logits), zero_loss(logits) + localization_errors.sum().to(
            value_dtype(logits)
        )
    classification, rank, order = _ALRPClassification.apply(
        logits, targets, localization_errors.detach(), delta, eps
    )
    localization = alrp_localization_loss(localization_errors, rank, order)
    return classification, localization.to(value_dtype(logits))
