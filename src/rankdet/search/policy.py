"""The policy of the search: independent truncated normals, updated by clipped ratios.

Source: Tao et al., NeurIPS 2021, and its official code; the objective is PPO's (Schulman et al.
2017), clipped in each dimension before the dimensions are multiplied. All computation is in
float64 on the CPU, so that the same rewards give the same policy, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankdet.errors import InputError

SIGMA = 0.2
STEPS, WARM_UP, LEARNING_RATE = 100, 30, 0.01
CLIP = (math.log(0.9), math.log(1.1))  # of the log ratio of one dimension


@dataclass(frozen=True)
class Policy:
    """Normals around ``mean`` (D), truncated to [0, 1].

    Attributes:
        logits: of the means (D).
        sigma: of all dimensions, before truncation.
    """

    logits: tuple[float, ...]
    sigma: float

    @classmethod
    def around(cls, mean: Sequence[float], sigma: float = SIGMA) -> Policy:
        """Return the policy with these means, each in (0, 1)."""
        return cls(tuple(math.log(m / (1 - m)) for m in mean), sigma)

    @property
    def mean(self) -> list[float]:
        """The means, in (0, 1)."""
        return torch.tensor(self.logits, dtype=torch.float64).sigmoid().tolist()

    def sample(self, seed: int, turn: int, index: int) -> list[float]:
        """Draw sample ``index`` of round ``turn`` (D); it does not depend on other draws."""
        uniform = np.random.default_rng([seed, turn, index]).random(len(self.logits))
        mean = torch.tensor(self.mean, dtype=torch.float64)
        low, high = _cut(mean, self.sigma)
        share = low + torch.from_numpy(uniform) * (high - low)
        return (mean + self.sigma * torch.special.ndtri(share)).clamp(0, 1).tolist()


def _cut(mean: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the normal's distribution function at 0 and at 1."""
    return torch.special.ndtr(-mean / sigma), torch.special.ndtr((1 - mean) / sigma)


def log_density(theta: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """Return the log density of each number (..., D) under the truncated normals."""
    low, high = _cut(mean, sigma)
    z = (theta - mean) / sigma
    return -0.5 * z * z - math.log(sigma * math.sqrt(2 * math.pi)) - torch.log(high - low)


def next_sigma(sigma: float, turn: int, turns: int) -> float:
    """Return sigma after round ``turn`` (from 0) of ``turns``: 0.2 (1 - t/T) in round t.

    The last round would give 0 and keeps sigma instead.
    """
    return sigma * (turns - turn - 1) / (turns - turn) if turn < turns - 1 else sigma


def rate_factor(step: int, steps: int = STEPS, warm_up: int = WARM_UP) -> float:
    """Return the factor on the learning rate: 0 to 1 over the warm-up, then linearly to 0."""
    return step / warm_up if step < warm_up else (steps - step) / (steps - warm_up)


def objective(log_ratio: Tensor, advantage: Tensor) -> Tensor:
    """Return mean(min(r A, clipped r A)) of log ratios (n, D) and advantages (n)."""
    ratio = log_ratio.sum(1).exp()
    clipped = log_ratio.clamp(*CLIP).sum(1).exp()
    return torch.minimum(ratio * advantage, clipped * advantage).mean()


def update(
    policy: Policy,
    thetas: Sequence[Sequence[float]],
    rewards: Sequence[float],
    sigma: float,
    steps: int = STEPS,
) -> Policy:
    """Return the policy after a round.

    Args:
        policy: from which the samples were drawn.
        thetas: samples (n, D).
        rewards: of the samples (n); the advantage is over their mean.
        sigma: of the new policy. As in the released code, the ratio already uses it.
        steps: of Adam, which is reset in every round.

    Raises:
        InputError: for rewards that are not finite or do not fit the samples.
    """
    fits = len(rewards) == len(thetas) > 0 and all(len(t) == len(policy.logits) for t in thetas)
    if not fits or not all(map(math.isfinite, rewards)):
        raise InputError(
            f"a finite reward for each sample of {len(policy.logits)} numbers",
            f"{len(thetas)} samples, rewards {list(rewards)}",
            "run the missing samples of the round",
        )
    samples = torch.tensor(thetas, dtype=torch.float64)
    reward = torch.tensor(rewards, dtype=torch.float64)
    advantage = reward - reward.mean()
    drawn = log_density(samples, torch.tensor(policy.mean, dtype=torch.float64), policy.sigma)
    logits = torch.tensor(policy.logits, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=LEARNING_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * rate_factor(step)
        optimizer.zero_grad()
        log_ratio = log_density(samples, logits.sigmoid(), sigma) - drawn
        (-objective(log_ratio, advantage)).backward()
        optimizer.step()
    return Policy(tuple(logits.detach().tolist()), sigma)
