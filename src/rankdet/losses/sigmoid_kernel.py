"""H(d) = sigma(d), unclamped: pairs summed through Chebyshev nodes, to the last digits.

sigma has its poles at +-i pi. On an interval of length 1 they lie outside the Bernstein ellipse of
parameter 12.6, so interpolation in 16 Chebyshev nodes is off by about 12.6^-16 < 1e-17: nothing in
float64. The points of each such interval are replaced by 16 nodes that carry their Chebyshev
moments, and the sum over n points becomes one over 16 nodes per occupied interval. Transposed, the
sum is evaluated at the nodes and interpolated.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rankdet.losses.devices import running_sum_from_zero

_NODES = 16
_BLOCK = 1 << 20


def _pairs(points: Tensor, weights: Tensor, queries: Tensor, slope: bool) -> Tensor:
    """Sum over all pairs, in blocks of queries."""
    total = torch.empty_like(queries)
    rows = max(1, _BLOCK // max(1, points.numel()))
    for start in range(0, queries.numel(), rows):
        part = slice(start, start + rows)
        value = torch.sigmoid(points[None, :] - queries[part, None])
        if slope:
            value = value * (1 - value)
        total[part] = value.mul_(weights).sum(1)
    return total


class _Intervals:
    """Ascending points [n] in intervals of length 1, those that hold any: [B]."""

    def __init__(self, points: Tensor) -> None:
        floors = torch.floor(points)
        self.floors, self.own, sizes = torch.unique_consecutive(
            floors, return_inverse=True, return_counts=True
        )
        self.ends = sizes.cumsum(0)
        place = (torch.arange(_NODES, dtype=points.dtype, device=points.device) + 0.5) / _NODES
        order = torch.arange(_NODES, dtype=points.dtype, device=points.device)
        self.at_nodes = torch.cos(math.pi * order[:, None] * place[None, :])  # T_k(t_m) [k, m]
        self.nodes = self.floors[:, None] + (torch.cos(math.pi * place) + 1) / 2  # [B, m]
        self.argument = 2 * (points - floors) - 1
        self.scale = points.new_full((_NODES, 1), 2 / _NODES)
        self.scale[0] /= 2

    def polynomials(self):
        """T_0, T_1, ... at the points [n] each."""
        before, now = torch.ones_like(self.argument), self.argument
        for _ in range(_NODES):
            yield before
            before, now = now, 2 * self.argument * now - before

    def weights_at_nodes(self, weights: Tensor) -> Tensor:
        """Weights [B, m] of the nodes that stand for the points' weights [n]."""
        moments = []
        for polynomial in self.polynomials():
            sums = running_sum_from_zero(weights * polynomial)[self.ends]
            moments.append(sums.diff(prepend=sums.new_zeros(1)))
        transform = self.scale * self.at_nodes
        return (torch.stack(moments)[:, :, None] * transform[:, None, :]).sum(0)

    def interpolate(self, at_nodes: Tensor) -> Tensor:
        """Values at the points [n] of the function with values [B, m] at the nodes."""
        transform = self.scale * self.at_nodes
        series = (at_nodes[None, :, :] * transform[:, None, :]).sum(2)
        return sum(
            row[self.own] * polynomial
            for row, polynomial in zip(series, self.polynomials(), strict=True)
        )


class Sigmoid:
    """H(d) = sigma(d)."""

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H(x_k - q)."""
        return self._sums(points, weights, queries, slope=False)

    def slopes(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H'(x_k - q)."""
        return self._sums(points, weights, queries, slope=True)

    def _sums(self, points: Tensor, weights: Tensor, queries: Tensor, slope: bool) -> Tensor:
        if points.numel() > queries.numel():
            intervals = _Intervals(points)
            if intervals.nodes.numel() < points.numel():
                carried = intervals.weights_at_nodes(weights).reshape(-1)
                return _pairs(intervals.nodes.reshape(-1), carried, queries, slope)
        else:
            ascending, order = torch.sort(queries)
            intervals = _Intervals(ascending)
            if intervals.nodes.numel() < queries.numel():
                at_nodes = _pairs(points, weights, intervals.nodes.reshape(-1), slope)
                found = torch.empty_like(queries)
                found[order] = intervals.interpolate(at_nodes.reshape(intervals.nodes.shape))
                return found
        return _pairs(points, weights, queries, slope)
