"""Decode a sample into control points of five functions and a gradient scale per head.

Source: Tao et al., NeurIPS 2021, and the official code of its search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rankdet.errors import InputError

FUNCTIONS = ("H2", "I2", "I3", "I1", "H1")  # the order of the rows of control points
INNER = 4  # points of a function between (0, 0) and (1, 1)
PER_HEAD = len(FUNCTIONS) * 2 * INNER + 1  # 41; the last one is the gradient scale

# The start: points at 0.2, 0.4, 0.6, 0.8 of the identity, and a gradient scale of 1.
START = (*(share for k in range(INNER) for share in (1 / (INNER + 1 - k),) * 2),) * 5 + (0.5,)


def control_points(shares: Sequence[float]) -> list[float]:
    """Turn the numbers of one function (8) into its row x0, y0, ..., x5, y5 (12).

    Stick breaking in each coordinate: p_k = p_(k-1) + share_k (1 - p_(k-1)), so that points never
    decrease. All shares 0 give points at (0, 0), all 1 points at (1, 1).
    """
    row = [0.0, 0.0]
    for place, share in enumerate(shares):
        row.append(min(1.0, row[place] + share * (1.0 - row[place])))
    return [*row, 1.0, 1.0]


def gradient_scale(share: float) -> float:
    """Return 10^(2 share - 1): 0.1 to 10."""
    return math.pow(10.0, 2.0 * share - 1.0)


def meaning(theta: Sequence[float], heads: Sequence[str]) -> dict[str, dict]:
    """Return control points and gradient scale by head.

    Args:
        theta: numbers in [0, 1], 41 for each head.
        heads: names of the heads, in the order of the numbers.

    Raises:
        InputError: if there are more or fewer numbers, or one outside [0, 1].
    """
    if len(theta) != PER_HEAD * len(heads) or not all(0 <= share <= 1 for share in theta):
        raise InputError(
            f"{PER_HEAD} numbers in [0, 1] for each of {len(heads)} heads",
            f"{len(theta)} numbers, {min(theta, default=0)} to {max(theta, default=0)}",
            "use the theta of a sample of this search",
        )
    found = {}
    for place, head in enumerate(heads):
        own = theta[place * PER_HEAD : (place + 1) * PER_HEAD]
        rows = [control_points(own[k : k + 2 * INNER]) for k in range(0, PER_HEAD - 1, 2 * INNER)]
        found[head] = {"control_points": rows, "box_gradient_scale": gradient_scale(own[-1])}
    return found


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
