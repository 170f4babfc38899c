"""Plain O(P N) losses, one loop over the positives: written from the papers' formulas for tests.

Nothing here is shared with the production code. Each function returns values and the gradient(s)
of the logits as plain tensors; logits [n], targets [n] as in rankdet.losses. The loops are the
baseline of benchmarks/losses.py too, so they are written as one would for speed: relevant
negatives are selected once and every step over them is vectorized.
"""

from __future__ import annotations

import torch
from torch import Tensor


def window(x: Tensor, delta: float) -> Tensor:
    """H(x), written over x: the loops call it with a fresh difference."""
    if delta == 0:
        return (x >= 0).to(x.dtype)
    return x.mul_(1 / (2 * delta)).add_(0.5).clamp_(0, 1)


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
            share = 1 / rank
        else:
            share = (1 - best) / ((1 - precision) * rank)
        of_negatives.add_(above, alpha=float(share))
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
            of_negatives.add_(above, alpha=float(share / false_positives))
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
            of_negatives.add_(above, alpha=float(1 / rank))
        wrong = beside * (quality < quality[i])
        mass = wrong.sum()
        if mass > eps:
            sorting_part[i] -= sorting_errors[i]
            sorting_part += wrong * (sorting_errors[i] / mass)
    of_ranking[positive] = ranking_part / count
    of_ranking[negative] = of_negatives / count
    of_sorting[positive] = sorting_part / count
    return ranking_errors.mean(), sorting_errors.mean(), of_ranking, of_sorting


def _line(row: list[float], x: Tensor) -> Tensor:
    """The piecewise linear function through (x0, y0, x1, y1, ...), all points at once."""
    xs, ys = row[::2], row[1::2]
    value = ys[0] + 0 * x
    for k in range(len(xs) - 1):
        if xs[k + 1] > xs[k]:
            slope = (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
            own = (x > xs[k]) & (x <= xs[k + 1]) if k else x <= xs[1]
            value = torch.where(own, ys[k] + slope * (x - xs[k]), value)
    return value


def parameterized_ap_loss(
    logits: Tensor,
    qualities: Tensor,
    targets: Tensor,
    rows: list[list[float]] | None,
    form: str = "searched",
    top_k: int = 100_000,
) -> Tensor:
    """Parameterized AP Loss from all pairs, by autograd."""
    if not (targets > 0).any():
        return 0 * logits.sum()
    candidate = torch.nonzero(targets >= 0).squeeze(1)
    if candidate.numel() > top_k:
        candidate = candidate[torch.topk(logits[candidate], top_k).indices]
    positive = torch.nonzero(targets > 0).squeeze(1)
    u = qualities[positive]
    u_candidate = torch.where(targets[candidate] > 0, qualities[candidate], 0.0)
    d = logits[candidate][None, :] - logits[positive][:, None]
    # As clamp(0, 1) until torch 2.13, which has slope 1 at both ends; from 2.14 on it has 0.
    z = d / 2 + 0.5
    z = torch.where(z < 0, 0.0, torch.where(z > 1, 1.0, z))
    if form == "sigmoid":
        h1 = h2 = torch.sigmoid(d)
        i1 = i3 = torch.sigmoid(2 * u - 1)
        i2 = torch.sigmoid(2 * u_candidate - 1)
    elif form in ("linear", "square"):
        power = 1 if form == "linear" else 2
        h1 = h2 = z**power
        i1 = i3 = u**power
        i2 = u_candidate**power
    else:
        h2, i2, i3, i1 = (
            _line(row, x) for row, x in zip(rows[:4], (z, u_candidate, u, u), strict=True)
        )
        h1 = _line(rows[4], z) if len(rows) == 5 else (torch.sign(d) + 1) / 2
    ratio = (h2 * (1 - i2)).sum(1) / h1.detach().sum(1)
    return (1 - i1 + i3 * ratio).sum() / (positive.numel() + 1e-8)


def bucketed_rank_loss(
    logits: Tensor, targets: Tensor, delta: float = 1.0, eps: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """The bucketed ranking error and its gradient, bucket by bucket; logits without ties."""
    gradient = torch.zeros_like(logits)
    if not (targets > 0).any():
        return logits.new_zeros(()), gradient
    positive, positives, negative, negatives = split(logits, targets, delta)
    count, errors = positives.numel(), torch.zeros_like(positives)
    above = (positives[None, :] > negatives[:, None]).sum(1)
    buckets = [torch.nonzero(above == k).squeeze(1) for k in range(count + 1)]
    buckets = [bucket for bucket in buckets if bucket.numel()]
    for i in range(count):
        share = [window(negatives[bucket].mean() - positives[i], delta) for bucket in buckets]
        pairs = list(zip(share, buckets, strict=True))
        false_positives = sum((h * bucket.numel() for h, bucket in pairs), logits.new_zeros(()))
        rank = window(positives - positives[i], delta).sum() + false_positives
        errors[i] = false_positives / rank
        if false_positives > eps:
            gradient[positive[i]] = -errors[i] / count
            for h, bucket in pairs:
                gradient[negative[bucket]] += h / rank / count
    return errors.mean(), gradient
