"""AP Loss (Chen et al., CVPR 2019), exact."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses.common import Ranking, flat_gradient, value_dtype, zero_loss
from rankdet.losses.pools import mean_over_pools
from rankdet.losses.validation import check_delta, check_logits_and_targets
from rankdet.losses.window_sums import sums_over_positives


class _APLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor, delta: float) -> Tensor:
        ranking = Ranking(logits, targets, delta)
        false_positives = ranking.false_positives
        ones = torch.ones_like(ranking.positives)
        rank_positives = sums_over_positives(ranking.positives, ones, delta) + 0.5
        miss = false_positives / (rank_positives + false_positives)  # 1 - precision
        miss = torch.cummin(miss, 0).values  # 1 - interpolated precision
        count = ranking.positives.numel()
        coefficients = torch.where(false_positives > 0, miss / false_positives, 0.0) / count
        ranking.save(ctx, logits, coefficients, -miss / count)
        return miss.mean().to(value_dtype(logits))

    @staticmethod
    @once_differentiable
    def backward(ctx, incoming: Tensor):
        return flat_gradient(ctx, incoming), None, None


@torch.compiler.disable
def ap_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 1.0, pools: Tensor | None = None
) -> Tensor:
    """AP Loss with interpolated precision."""
    check_logits_and_targets(logits, targets, pools)
    check_delta(delta)
    return mean_over_pools(_one_pool, logits, targets, pools, delta=float(delta))


def _one_pool(logits: Tensor, targets: Tensor, delta: float) -> Tensor:
    if not bool((targets > 0).any()):
        return zero_loss(logits)
    return _APLoss.apply(logits, targets, delta)
