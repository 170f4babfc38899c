"""The sorting errors of Rank & Sort Loss, without a P x P matrix.

With h_ki = H(p_k - p_i) and u the qualities, positive i needs sums of h_ki over the k of at least
its quality, over the k of less, and gives back to the latter:

    target_i  = Sum_{u_k >= u_i} h_ki (1 - u_k) / Sum_{u_k >= u_i} h_ki
    D_i       = Sum_{u_k < u_i} h_ki,     S_i = current_i - target_i
    k receives  Sum_{i: u_i > u_k} h_ki S_i / D_i,     i receives -S_i     (both where D_i > eps).

A sum over one side of a quality is a window sum with weights 0 and 1. So the positives are split by
quality into a fixed number of parts: between parts one window sum per part gives all the pairs, in
O(n) of n sorted points; inside a part the same again, until a part is small enough for the matrix
of its pairs (or of one quality). O(P log P) with the number of parts as a factor, memory O(P).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rankdet.losses._devices import is_accelerator
from rankdet.losses._windows import SortedWindows, sums_above, window

# Measured on one CPU thread for 100 to 100 000 positives: up to LEAF the matrix of pairs is fastest
# (it fits a cache); larger lists are best split into parts of at least SMALLEST, at most PARTS.
LEAF, SMALLEST, PARTS = 256, 128, 32
_BLOCK = 1 << 24  # pairs of a leaf that are made at once


@dataclass
class _Group:
    """Positives that are still to be told apart by quality: ascending logits, place in the list."""

    logits: Tensor
    qualities: Tensor
    place: Tensor


class _Leaf(_Group):
    """A group whose pairs are made one by one."""

    def pairs(self, delta: float) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Blocks of rows i: which, h_ki and whether u_k < u_i, both [rows, n]."""
        rows = max(1, _BLOCK // max(1, self.logits.numel()))
        for start in range(0, self.logits.numel(), rows):
            part = slice(start, start + rows)
            above = window(self.logits[None, :] - self.logits[part, None], delta)
            yield part, above, self.qualities[None, :] < self.qualities[part, None]


class _Node(_Group):
    """A group split into parts of falling quality; ``part`` is the number of each one's part."""

    part: Tensor
    parts: int

    def split(self) -> list[_Group]:
        """Cut at quantiles of the quality; equal qualities stay together."""
        ranked = torch.sort(self.qualities).values
        step = max(SMALLEST, -(-ranked.numel() // PARTS))
        limits = torch.unique_consecutive(ranked[step::step])
        limits = limits[limits > ranked[0]]
        if limits.numel() == 0:  # the lowest quality fills most of the list
            limits = ranked[ranked > ranked[0]][:1]
        self.part = limits.numel() - torch.bucketize(self.qualities, limits, right=True)
        self.parts = limits.numel() + 1
        order = torch.sort(self.part, stable=True).indices
        sizes = torch.bincount(self.part, minlength=self.parts).tolist()
        rows = (each[order].split(sizes) for each in (self.logits, self.qualities, self.place))
        return [_Group(*each) for each in zip(*rows, strict=True) if each[0].numel()]


def _walk(group: _Group) -> Iterator[_Leaf | _Node]:
    """All groups in which pairs of the positives meet: each pair meets in exactly one."""
    # Sizes of parts are read on the host: on an accelerator all positives are one leaf. On a CPU
    # that is 5 times as slow for 2000 positives.
    if group.logits.numel() <= LEAF or is_accelerator(group.logits):
        yield _Leaf(group.logits, group.qualities, group.place)
        return
    node = _Node(group.logits, group.qualities, group.place)
    if bool(group.qualities.min() == group.qualities.max()):
        node.part, node.parts = torch.zeros_like(node.place), 1
        yield node
        return
    children = node.split()
    yield node
    for child in children:
        yield from _walk(child)


def sorting_errors(
    logits: Tensor, qualities: Tensor, delta: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum_k h_ki, S_i, and the gradient (times P) of the mean of S, [P] each.

    Args:
        logits: of the positives, ascending [P], float64.
        qualities: u [P], float64.
        delta: as in the loss.
        eps: as in the loss.
    """
    count, loss = sums_above(logits, delta, torch.ones_like(qualities), 1 - qualities)
    current = loss / count
    place = torch.arange(logits.numel(), device=logits.device)
    groups = list(_walk(_Group(logits, qualities, place)))
    # Rows: Sum h, Sum h (1 - u) over u_k >= u_i; Sum h over u_k < u_i.
    sums = logits.new_zeros(3, logits.numel())
    for group in groups:
        if isinstance(group, _Node):
            sums[:, group.place] += _sums_between(group, delta)
            continue
        for part, above, is_worse in group.pairs(delta):
            of_worse = (above * is_worse).sum(1)
            above.masked_fill_(is_worse, 0)
            of_better = above.sum(1), above.mul_(1 - group.qualities).sum(1)
            sums[:, group.place[part]] += torch.stack((*of_better, of_worse))
    errors = (current - sums[1] / sums[0]).clamp_(min=0)  # below 0 by rounding only
    is_wrong = sums[2] > eps
    share = torch.where(is_wrong, errors / sums[2], 0.0)
    gradient = torch.where(is_wrong, -errors, 0.0)
    for group in groups:
        own = share[group.place]
        if isinstance(group, _Node):
            gradient[group.place] += _spread_between(group, own, delta)
            continue
        for part, above, is_worse in group.pairs(delta):
            gradient[group.place] += above.mul_(is_worse).mul_(own[part, None]).sum(0)
    return count, errors, gradient


def _sums_between(node: _Node, delta: float) -> Tensor:
    """The three sums [3, n] over the pairs that lie in different parts.

    A node of one quality has one part, whose pairs all count as u_k >= u_i.
    """
    windows = SortedWindows(node.logits, node.logits, delta)
    row = torch.arange(node.parts, device=node.part.device)[:, None]
    part = node.part.flip(0)
    better = (part < row) if node.parts > 1 else (part <= row)
    better = better.to(torch.float64)
    worse = (part > row).to(torch.float64)
    loss = 1 - node.qualities.flip(0)
    return torch.stack([windows.sums(each, node.part) for each in (better, better * loss, worse)])


def _spread_between(node: _Node, share: Tensor, delta: float) -> Tensor:
    """Sum_{i in better parts} share_i H(p_k - p_i) for each k [n]: the window sum seen mirrored."""
    mirrored = -node.logits.flip(0)
    windows = SortedWindows(mirrored, mirrored, delta)
    row = torch.arange(node.parts, device=node.part.device)[:, None]
    weights = torch.where(node.part < row, share, 0.0)
    return windows.sums(weights, node.part.flip(0)).flip(0)
