"""The sorting errors of Rank & Sort."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 256


def window(differences: Tensor, delta: float) -> Tensor:
    """H(x) = clamp(x / (2 delta) + 1/2, 0, 1); for delta = 0 the step that is 1 at 0."""
    if delta == 0:
        return (differences >= 0).to(differences.dtype)
    return (differences / (2 * delta) + 0.5).clamp_(0, 1)


def sorting_errors(
    positives: Tensor, qualities: Tensor, rank_positives: Tensor, delta: float, eps: float
) -> tuple[Tensor, Tensor]:
    """S_i and the gradient (times P) of its mean, per ascending positive; P x P in row blocks."""
    errors = torch.empty_like(positives)
    gradient = torch.zeros_like(positives)
    loss = 1 - qualities
    for start in range(0, positives.numel(), ROWS):
        rows = slice(start, start + ROWS)
        above = window(positives[None, :] - positives[rows, None], delta)
        is_worse = qualities[None, :] < qualities[rows, None]
        current = (above * loss).sum(1) / rank_positives[rows]
        kept = torch.where(is_worse, 0.0, above)
        target = (kept * loss).sum(1) / kept.sum(1)
        error = current - target
        errors[rows] = error
        wrong = above - kept
        mass = wrong.sum(1)
        share = torch.where(mass > eps, error / mass, 0.0)
        gradient[rows] -= torch.where(mass > eps, error, 0.0)
        gradient += (wrong * share[:, None]).sum(0)
    return errors, gradient
