"""The problems of the loss benchmark, and three implementations of each loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import reference_losses as plain
from rankdet import losses

SIZES = ((100, 10_000), (500, 100_000), (2_000, 200_000), (5_000, 1_000_000), (1_000, 20_000_000))
# Mean and standard deviation of the logits of negatives and of positives.
DISTRIBUTIONS = {
    "trained-like": ((-5.0, 1.2), (-1.0, 1.5)),
    "normal": ((0.0, 1.0), (0.5, 1.0)),
}


def problem(distribution: str, positives: int, negatives: int) -> tuple[Tensor, Tensor, Tensor]:
    """Shuffled logits [n], soft targets [n] and localization errors [P], float32."""
    generator = torch.Generator().manual_seed(positives)
    of_negatives, of_positives = DISTRIBUTIONS[distribution]
    count = positives + negatives
    logits = torch.randn(count, generator=generator)
    targets = torch.zeros(count)
    chosen = torch.randperm(count, generator=generator)[:positives]
    targets[chosen] = 0.5 + 0.5 * torch.rand(positives, generator=generator)
    scores = logits[chosen] * of_positives[1] + of_positives[0]
    logits.mul_(of_negatives[1]).add_(of_negatives[0])
    logits[chosen] = scores
    return logits, targets, torch.rand(positives, generator=generator)


def _step(loss: Callable) -> Callable:
    """Forward and backward of a function of ours."""

    def run(logits: Tensor, targets: Tensor, errors: Tensor) -> Tensor:
        logits = logits.detach().requires_grad_()
        value = loss(logits, targets, errors)
        (sum(value) if isinstance(value, tuple) else value).backward()
        return logits.grad

    return run


# Loss -> way -> forward and backward; each gives the gradient of the logits.
CONTESTANTS = {
    "AP": {
        "loop": lambda s, t, e: plain.ap_loss(s, t)[1],
        "bucketed": _step(lambda s, t, e: losses.bucketed_ap_loss(s, t)),
        "exact": _step(lambda s, t, e: losses.ap_loss(s, t)),
    },
    "aLRP": {
        "loop": lambda s, t, e: plain.alrp_loss(s, t, e)[2],
        "exact": _step(lambda s, t, e: losses.alrp_loss(s, t, e)),
    },
    "Rank & Sort": {
        "loop": lambda s, t, e: sum(plain.rank_sort_loss(s, t)[2:]),
        "bucketed": _step(lambda s, t, e: losses.bucketed_rank_sort_loss(s, t)),
        "exact": _step(lambda s, t, e: losses.rank_sort_loss(s, t)),
    },
}
