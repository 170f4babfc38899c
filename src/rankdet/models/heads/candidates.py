"""PAA's choice of positives: per object two Gaussians over what its candidates would cost.

Source: Kim and Lee, Probabilistic Anchor Assignment (ECCV 2020), section 3 and figure 3 (c).
All objects of a batch are fitted at once, in float64. One fit per object, as is usual, takes more
time than the network; and in float32 it fails at costs that are all but equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ITERATIONS = 100
CHANGE = 1e-3  # of the mean log-likelihood, below which a fit is done


@dataclass(frozen=True)
class Mixtures:
    """The fits of G objects with at most K candidates each, by rising cost.

    Attributes:
        index: which candidate stands here (G, K).
        is_candidate: whether one does (G, K).
        is_better: whether the Gaussian of the lower costs owns it (G, K).
        log_likelihood: under the mixture (G, K).
    """

    index: Tensor
    is_candidate: Tensor
    is_better: Tensor
    log_likelihood: Tensor

    def positives(self, count: int) -> Tensor:
        """Return which of the ``count`` candidates become positive.

        Of an object's candidates in the better Gaussian, those up to the likeliest. An object with
        a single candidate cannot be fitted and stays without positives.
        """
        can_fit = self.is_candidate.sum(1, keepdim=True) > 1
        chosen = self.is_better & self.is_candidate & can_fit
        likelihood = self.log_likelihood.masked_fill(~chosen, -math.inf)
        places = torch.arange(chosen.shape[1], device=chosen.device)
        chosen &= places <= likelihood.argmax(1, keepdim=True)
        is_positive = torch.zeros(count, dtype=torch.bool, device=chosen.device)
        is_positive[self.index[chosen]] = True
        return is_positive


def fit_mixtures(costs: Tensor, objects: Tensor, levels: Tensor, top_k: int) -> Mixtures:
    """Fit the best ``top_k`` candidates of every level of every object.

    Args:
        costs: what each candidate would cost (N).
        objects: its object, from 0 (N).
        levels: its level of the pyramid, from 0 (N).
    """
    costs = costs.double()
    by_cost = costs.argsort(stable=True)
    groups = objects * (int(levels.max()) + 1 if len(levels) else 1) + levels
    order = by_cost[groups[by_cost].argsort(stable=True)]
    kept = order[_place_in_group(groups[order]) < top_k]
    kept = kept[costs[kept].argsort(stable=True)]
    kept = kept[objects[kept].argsort(stable=True)]
    column = _place_in_group(objects[kept])
    size = (int(objects.max()) + 1, int(column.max()) + 1) if len(kept) else (0, 1)
    index = torch.zeros(size, dtype=torch.long, device=costs.device)
    is_candidate = torch.zeros(size, dtype=torch.bool, device=costs.device)
    index[objects[kept], column] = kept
    is_candidate[objects[kept], column] = True
    return Mixtures(index, is_candidate, *two_gaussians(costs[index], is_candidate))


def _place_in_group(groups: Tensor) -> Tensor:
    """Return 0, 1, 2, ... within each run of equal numbers (N)."""
    places = torch.arange(len(groups), device=groups.device)
    sizes = torch.unique_consecutive(groups, return_counts=True)[1]
    return places - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)


def two_gaussians(
    costs: Tensor, is_candidate: Tensor, regularization: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Fit two Gaussians to each row by expectation and maximization.

    They start at the lowest and the highest cost, with variance 1 and equal weights; each row stops
    by itself.

    Args:
        costs: (G, K), float64.
        is_candidate: which places count (G, K).
        regularization: added to the variances.

    Returns:
        Whether the first Gaussian owns a place, and the log-likelihood of its cost, both (G, K).
    """
    if not costs.numel():
        return is_candidate, costs
    counts = is_candidate.sum(1).clamp(min=1)
    lowest = costs.masked_fill(~is_candidate, math.inf).amin(1)
    highest = costs.masked_fill(~is_candidate, -math.inf).amax(1)
    mean = torch.stack([lowest, highest], 1).nan_to_num(0.0, 0.0, 0.0)  # rows without candidates
    variance, weight = torch.ones_like(mean), torch.full_like(mean, 0.5)
    bound = torch.full_like(lowest, -math.inf)
    is_done = torch.zeros_like(bound, dtype=torch.bool)
    for _ in range(ITERATIONS):
        joint = _log_joint(costs, mean, variance, weight)
        total = joint.logsumexp(2)
        share = (joint - total[:, :, None]).exp() * is_candidate[:, :, None]  # (G, K, 2)
        mass = share.sum(1) + 10 * torch.finfo(costs.dtype).eps
        new_mean = (share * costs[:, :, None]).sum(1) / mass
        deviation = costs[:, :, None] - new_mean[:, None]
        new_variance = (share * deviation**2).sum(1) / mass + regularization
        new_weight = mass / mass.sum(1, keepdim=True)
        active = ~is_done[:, None]
        mean = torch.where(active, new_mean, mean)
        variance = torch.where(active, new_variance, variance)
        weight = torch.where(active, new_weight, weight)
        new_bound = (total * is_candidate).sum(1) / counts
        is_done |= (new_bound - bound).abs() < CHANGE
        bound = new_bound
        if is_done.all():
            break
    joint = _log_joint(costs, mean, variance, weight)
    return joint[:, :, 0] >= joint[:, :, 1], joint.logsumexp(2)


def _log_joint(costs: Tensor, mean: Tensor, variance: Tensor, weight: Tensor) -> Tensor:
    """Return log(weight x density) of each cost under each Gaussian: (G, K, 2)."""
    distance = (costs[:, :, None] - mean[:, None]) ** 2 / variance[:, None]
    return weight[:, None].log() - 0.5 * (
        math.log(2 * math.pi) + variance[:, None].log() + distance
    )
