"""Rank & Sort Loss (Oksuz et al., Rank & Sort Loss for Object Detection and Instance Segmentation,
ICCV 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.losses.compilation import not_compiled
from rankdet.losses.ranking import Pool, Rule, Update, error_driven_loss
from rankdet.losses.settings import check_delta, check_eps
from rankdet.losses.sorting import sorting_errors
from rankdet.losses.validation import check_inputs, read_values


def _rule(targets: Tensor, eps: float) -> Rule:
    def rule(pool: Pool) -> Update:
        false_positives = pool.false_positives
        qualities = targets[pool.flat].to(torch.float64)
        count_above, errors, to_positives = sorting_errors(pool.logits, qualities, pool.delta, eps)
        rank = count_above + false_positives
        ranking_errors = false_positives / rank
        is_wrong = false_positives > eps
        return Update(
            (ranking_errors.sum(), errors.sum()),
            (torch.where(is_wrong, -ranking_errors, 0.0), to_positives),
            torch.where(is_wrong, 1 / rank, 0.0),
        )

    return rule


@not_compiled
def rank_sort_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    delta: float = 0.5,
    eps: float = 1e-10,
    pools: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Rank & Sort Loss: positives above negatives, and positives in order of their quality; exact.

    Per positive, the ranking error is FP_i / rank_i (target 0), the sorting error how much the mean
    of 1 - quality over the positives at or above i exceeds what it would be with only those of at
    least i's quality there (eq. 3-5). rank_i holds the own term H(0) = 1/2, as published.

    Args:
        logits: raw scores before the sigmoid [n].
        targets: quality of a positive in (0, 1], usually the IoU of its predicted box, detached;
            0 negative, -1 ignored [n]. A positive of quality 0 is a negative.
        delta: half width of the window function, in logits; 0 for the hard step.
        eps: mass below which an error is not distributed.
        pools: ranking pool of each logit, int64 [n]; see :func:`rankdet.losses.ap_loss`.

    Returns:
        (ranking, sorting), scalars, each with its own gradient: their sum is the published loss
        (the published code gives the gradient of both to the first). No positives: zeros with
        a graph.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`.
    """
    check_inputs(logits, targets, pools)
    delta = check_delta(delta, zero_allowed=True)
    eps = check_eps(eps)
    positions = read_values(logits, targets, delta)
    rule = _rule(targets.detach(), eps)
    values = error_driven_loss(rule, logits, targets, positions, pools, delta, 2)
    return values[0], values[1]
