"""Plain O(P N) losses, one loop over the positives: written from the papers' formulas for tests.

Nothing here is shared with the production code. Each function returns values and the gradient(s)
of the logits as plain tensors; logits [n], targets [n] as in rankdet.losses. The loops are the
baseline of benchmarks/losses.py too, so they are written as one would for speed: relevant
negatives are selected once and every step over them is vectorised.
"""

from __future__ import annotations

import torch
from torch import Tensor


def window(x: Tensor, delta: float) -> Tensor:
    """H(x)."""
    if delta == 0:
        return (x >= 0).to(x.dtype)
    return (x / (2 * delta) + 0.5).clamp(0, 1)


def split(logits: Tensor, targets: Tensor, delta: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Flat positions and logits of the positives and of the relevant negatives."""
    positive = torch.nonzero(targets > 0).squeeze(1)
    positives = logits[positive]
    relevant = (targets == 0) & (logits >= positives.min() - delta)
    negative = torch.nonzero(relevant).squeeze(1)
    return positive, positives, negative, logits[negative]


def ap_loss(logits: Tensor, targets: Tensor, delta: float = 1.0) -> tuple[Tensor, Tensor]:
    """AP Loss: value and gradient."""
    gradient = torch.zeros_like(logits)
    if not (targets > 0).any():
        return logits.new_zeros(()), gradient
    positive, positives, negative, negatives = split(logits, targets, delta)
    count = positives.numel()
    precisions = torch.zeros_like(positives)
    best = 0.0
    of_negatives = torch.zeros_like(negatives)
    for i in torch.argsort(positives).tolist():
        above = window(negatives - positives[i], delta)
        false_positives = above.sum()
        rank_positives = window(positives - positives[i], delta).sum() + 0.5
        rank = rank_positives + false_positives
        precision = rank_positives / rank
        if precision >= best:
            best = precision
            of_negatives += above / rank
        else:
            of_negatives += above * ((1 - best) / ((1 - precision) * rank))
        precisions[i] = best
    gradient[positive] = -(1 - precisions) / count
    gradient[negative] = of_negatives / count
    return 1 - precisions.mean(), gradient


def alrp_loss(
    logits: Tensor, targets: Tensor, errors: Tensor, delta: float = 1.0, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """ALRP Loss: classification, localization, gradient of the logits, gradient of the errors."""
    gradient = torch.zeros_like(logits)
    if not (targets > 0).any():
        return logits.new_zeros(()), logits.new_zeros(()), gradient, torch.zeros_like(errors)
    positive, positives, negative, negatives = split(logits, targets, delta)
    count = positives.numel()
    precisions, ranks = torch.zeros_like(positives), torch.zeros_like(positives)
    of_positives = torch.zeros_like(positives)
    of_negatives = torch.zeros_like(negatives)
    for i in range(count):
        above = window(negatives - positives[i], delta)
        false_positives = above.sum()
        beside = window(positives - positives[i], delta)
        beside[i] = 0
        rank_positives = 1 + beside.sum()
        ranks[i] = rank_positives + false_positives
        precisions[i] = rank_positives / ranks[i]
        if false_positives > eps:
            share = (false_positives + (beside * errors).sum()) / ranks[i]
            of_positives[i] = -share
            of_negatives += above * (share / false_positives)
    gradient[positive] = of_positives / count
    gradient[negative] = of_negatives / count
    order = torch.argsort(positives, stable=True).flip(0)
    localization = (errors[order].cumsum(0) / ranks[order]).mean()
    of_errors = torch.empty_like(errors)
    of_errors[order] = (1 / ranks[order]).flip(0).cumsum(0).flip(0) / count
    return 1 - precisions.mean(), localization, gradient, of_errors


def rank_sort_loss(
    logits: Tensor, targets: Tensor, delta: float = 0.5, eps: float = 1e-10
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rank & Sort Loss: ranking, sorting, gradient of each."""
    of_ranking, of_sorting = torch.zeros_like(logits), torch.zeros_like(logits)
    if not (targets > 0).any():
        return logits.new_zeros(()), logits.new_zeros(()), of_ranking, of_sorting
    positive, positives, negative, negatives = split(logits, targets, delta)
    count = positives.numel()
    quality = targets[positive].to(logits.dtype)
    ranking_errors, sorting_errors = torch.zeros_like(positives), torch.zeros_like(positives)
    ranking_part, sorting_part = torch.zeros_like(positives), torch.zeros_like(positives)
    of_negatives = torch.zeros_like(negatives)
    for i in range(count):
        above = window(negatives - positives[i], delta)
        false_positives = above.sum()
        beside = window(positives - positives[i], delta)
        rank_positives = beside.sum()
        rank = rank_positives + false_positives
        ranking_errors[i] = false_positives / rank
        current = (beside * (1 - quality)).sum() / rank_positives
        right = beside * (quality >= quality[i])
        target = (right * (1 - quality)).sum() / right.sum()
        sorting_errors[i] = current - target
        if false_positives > eps:
            ranking_part[i] -= ranking_errors[i]
            of_negatives += above / rank
        wrong = beside * (quality < quality[i])
        mass = wrong.sum()
        if mass > eps:
            sorting_part[i] -= sorting_errors[i]
            sorting_part += wrong * (sorting_errors[i] / mass)
    of_ranking[positive] = ranking_part / count
    of_ranking[negative] = of_negatives / count
    of_sorting[positive] = sorting_part / count
    return ranking_errors.mean(), sorting_errors.mean(), of_ranking, of_sorting
