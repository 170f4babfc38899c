"""The functions of Parameterized AP Loss: H, summed over sorted points without pairs, and I.

A kernel gives Sum_k w_k H(x_k - q) and Sum_k w_k H'(x_k - q) for all queries q, where the points x
are sorted. The transposed sums Sum_i a_i H(s - p_i), which the gradients need, are the same with
points -p_i and query -s. A curve gives I(u) and I'(u).

The sigmoid is summed through Chebyshev nodes, to the last digits. It has its poles at +-i pi. On an
interval of length 1 they lie outside the Bernstein ellipse of parameter 12.6, so interpolation in
16 Chebyshev nodes is off by about 12.6^-16 < 1e-17: nothing in float64. The points of each such
interval are replaced by 16 nodes that carry their Chebyshev moments, and the sum over n points
becomes one over 16 nodes per occupied interval. Transposed, the sum is evaluated at the nodes and
interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from rankdet.losses._devices import Constants, block_size, running_sum_from_zero
from rankdet.losses._windows import Cells

_WIDTH = 2.0  # of the window: delta is 1
_QUERIES = 1 << 13  # at once, on a CPU
_NODES = 16
_PAIRS = 1 << 20

# Value and slope of a curve at u.
Curve = Callable[[Tensor], tuple[Tensor, Tensor]]


class Summed(Protocol):
    """H as a sum over pairs."""

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H(x_k - q) [m] for ascending points [n], weights [n] and queries [m]."""


class Kernel(Summed, Protocol):
    """H and its derivative as sums over pairs."""

    def slopes(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H'(x_k - q) [m]."""


class PiecewisePolynomial:
    """H(d) of z = clamp(d/2 + 1/2, 0, 1), on pieces x_k < z <= x_{k+1} of degree at most 2.

    z = 0 belongs to the first piece; beyond z = 1 H is 1. A pair at the very end of the window
    keeps the slope of the last piece, as clamp() does.

    Args:
        knots: x_0 = 0, ..., x_m = 1.
        coefficients: (c0, c1, c2) per piece, in powers of z - x_k.
    """

    def __init__(
        self, knots: Sequence[float], coefficients: list[tuple[float, float, float]]
    ) -> None:
        ends = list(pairwise(knots))
        self.pieces = _Pieces(ends, coefficients)
        # With z = d/2 + 1/2 the derivative has the factor 1/2.
        self.derived = _Pieces(ends, [(c1 / 2, c2, 0.0) for _, c1, c2 in coefficients])

    @classmethod
    def through(cls, row: Sequence[float]) -> PiecewisePolynomial:
        """Straight lines through control points (x0, y0, x1, y1, ...)."""
        x, y = row[::2], row[1::2]
        lines = []
        for k in range(len(x) - 1):
            run = x[k + 1] - x[k]
            lines.append((y[k], (y[k + 1] - y[k]) / run if run > 0 else 0.0, 0.0))
        return cls(x, lines)

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H(x_k - q)."""
        total = self.pieces.sums(points, weights, queries)
        above = running_sum_from_zero(weights.flip(0))
        beyond = torch.searchsorted(points, queries + 1, right=True)
        return total + above[points.numel() - beyond]

    def slopes(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H'(x_k - q)."""
        return self.derived.sums(points, weights, queries)


class _Pieces:
    """Polynomials on pieces of the window, [K, m] at once: K pieces, m queries."""

    def __init__(
        self, ends: list[tuple[float, float]], coefficients: Sequence[tuple[float, ...]]
    ) -> None:
        degree = max(k for each in coefficients for k in range(3) if each[k] != 0 or k == 0)
        kept = (own[: degree + 1] for own in coefficients)
        self.constants = Constants([(*each, *own) for each, own in zip(ends, kept, strict=True)])

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum over pieces and the points inside them of w (c0 + c1 t + c2 t^2)."""
        count = points.numel()
        lows, highs, *polynomial = self.constants.on(points.device)[:, :, None]
        cells = Cells(points, _WIDTH)
        inner = points - cells.floors
        # Sums of w, w x, w x^2 with x relative to the cell, from the highest point down.
        powers = [weights * inner**k for k in range(len(polynomial))]
        moments = [running_sum_from_zero(each.flip(0)) for each in powers]

        def at(queries: Tensor) -> Tensor:
            lowest = queries + (2 * lows - 1)
            # At d = -1 the first piece is closed: clamp() lets the gradient through there.
            start = torch.searchsorted(points, queries - 1)[None]
            ends = torch.searchsorted(points, queries + (2 * highs - 1), right=True)
            ends = torch.cummax(torch.cat((start, ends)), 0).values
            total = torch.zeros_like(lowest)
            for first, last, floor in cells.runs(ends[:-1], ends[1:], lowest):
                parts = [each[count - first] - each[count - last] for each in moments]
                total += _shifted(parts, (floor - lowest) / 2, polynomial)
            return total.sum(0)

        blocks = queries.split(block_size(queries, _QUERIES))
        return torch.cat([at(each) for each in blocks])


def _shifted(moments: list[Tensor], shift: Tensor, polynomial: list[Tensor]) -> Tensor:
    """Sum of w (c0 + c1 t + c2 t^2) with t = x/2 + shift, from the moments of x."""
    total = polynomial[0] * moments[0]
    if len(moments) > 1:
        total = total + polynomial[1] * (moments[1] / 2 + shift * moments[0])
    if len(moments) > 2:
        squares = moments[2] / 4 + shift * moments[1] + shift**2 * moments[0]
        total = total + polynomial[2] * squares
    return total


class Step:
    """H(d) = (sign(d) + 1)/2: 1/2 at a tie; its slope is not used."""

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H(x_k - q)."""
        above = running_sum_from_zero(weights.flip(0))
        at_or_above = above[points.numel() - torch.searchsorted(points, queries)]
        return (
            at_or_above + above[points.numel() - torch.searchsorted(points, queries, right=True)]
        ) / 2


def _pairs(points: Tensor, weights: Tensor, queries: Tensor, slope: bool) -> Tensor:
    """Sum over all pairs, in blocks of queries."""
    total = torch.empty_like(queries)
    rows = max(1, _PAIRS // max(1, points.numel()))
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

    def polynomials(self) -> Iterator[Tensor]:
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
        value = torch.zeros_like(self.argument)
        for row, polynomial in zip(series, self.polynomials(), strict=True):
            value += row[self.own] * polynomial
        return value


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


def piecewise_linear(row: Sequence[float]) -> Curve:
    """The line through the control points; a point of a corner belongs to the piece on its left."""
    x, y = row[::2], row[1::2]
    pieces = []
    for k in range(len(x) - 1):
        run = x[k + 1] - x[k]
        pieces.append((x[k], y[k], (y[k + 1] - y[k]) / run if run > 0 else 0.0))
    constants = Constants(pieces)

    def curve(u: Tensor) -> tuple[Tensor, Tensor]:
        starts, heights, slopes = constants.on(u.device)
        piece = torch.bucketize(u, starts[1:])
        slopes = slopes[piece]
        return heights[piece] + slopes * (u - starts[piece]), slopes

    return curve


def sigmoid_curve(u: Tensor) -> tuple[Tensor, Tensor]:
    """I(u) = sigma(2 u - 1)."""
    value = torch.sigmoid(2 * u - 1)
    return value, 2 * value * (1 - value)


def linear_curve(u: Tensor) -> tuple[Tensor, Tensor]:
    """I(u) = u."""
    return u, torch.ones_like(u)


def square_curve(u: Tensor) -> tuple[Tensor, Tensor]:
    """I(u) = u^2."""
    return u * u, 2 * u
