"""Rank & Sort Loss (Oksuz et al., Rank & Sort Loss for Object Detection and Instance Segmentation,
ICCV 2021)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankdet.losses._checks import check_delta, check_eps, check_inputs, read_values
from rankdet.losses._ranking import (
    ErrorDriven,
    LossModule,
    LossOperator,
    Ranking,
    Rule,
    Update,
    error_driven_loss,
    two_values,
)
from rankdet.losses._sorting import sorting_errors


def _rule(targets: Tensor, eps: float) -> Rule:
    def rule(ranking: Ranking) -> Update:
        false_positives = ranking.false_positives
        qualities = targets[ranking.flat].to(torch.float64)
        count_above, errors, to_positives = sorting_errors(
            ranking.logits, qualities, ranking.delta, eps
        )
        rank = count_above + false_positives
        ranking_errors = false_positives / rank
        is_wrong = false_positives > eps
        return Update(
            (ranking_errors.sum(), errors.sum()),
            (torch.where(is_wrong, -ranking_errors, 0.0), to_positives),
            torch.where(is_wrong, 1 / rank, 0.0),
        )

    return rule


def _prepare(logits: Tensor, targets: Tensor, delta: float, eps: float) -> tuple[Any, ...]:
    positions = read_values(logits, targets, delta)
    return logits, targets, positions, delta, _rule(targets.detach(), eps), 2


_OPERATOR = LossOperator(
    "rank_sort_loss",
    "Tensor logits, Tensor targets, float delta, float eps",
    ErrorDriven,
    _prepare,
    two_values,
)


def rank_sort_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 0.5, eps: float = 1e-10
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

    Returns:
        (ranking, sorting), scalars, each with its own gradient: their sum is the published loss
        (the published code gives the gradient of both to the first). No positives: zeros with
        a graph.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`.

    Example:
        >>> import torch
        >>> from rankdet.losses import rank_sort_loss
        >>> logits = torch.tensor([2.0, 1.5, 1.8, -3.0], requires_grad=True)
        >>> ranking, sorting = rank_sort_loss(logits, torch.tensor([0.5, 0.0, 0.9, -1.0]))
        >>> round(ranking.item(), 4), round(sorting.item(), 4)
        (0.0714, 0.1167)
        >>> (ranking + sorting).backward()
        >>> [round(each, 4) for each in logits.grad.tolist()]
        [0.1167, 0.0714, -0.1881, 0.0]
    """
    check_inputs(logits, targets)
    delta = check_delta(delta, zero_allowed=True)
    eps = check_eps(eps)
    if torch.compiler.is_compiling():
        ranking, sorting = _OPERATOR(logits, targets, delta, eps)
    else:
        ranking, sorting, _ = error_driven_loss(*_prepare(logits, targets, delta, eps))
    return ranking, sorting


class RankSortLoss(LossModule):
    """Rank & Sort Loss with fixed settings; see :func:`rankdet.losses.rank_sort_loss`.

    Args:
        delta: as in the function.
        eps: as in the function.

    Raises:
        InputError: for settings that are no finite numbers >= 0.

    Example:
        >>> import torch
        >>> from rankdet.losses import RankSortLoss
        >>> loss, logits = RankSortLoss(), torch.tensor([2.0, 1.5, 1.8], requires_grad=True)
        >>> [round(each.item(), 4) for each in loss(logits, torch.tensor([0.5, 0.0, 0.9]))]
        [0.0714, 0.1167]
    """

    def __init__(self, delta: float = 0.5, eps: float = 1e-10) -> None:
        super().__init__(delta=check_delta(delta, zero_allowed=True), eps=check_eps(eps))

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return (ranking, sorting) of logits [n] and targets [n], qualities of the positives."""
        return rank_sort_loss(logits, targets, **self.settings)
