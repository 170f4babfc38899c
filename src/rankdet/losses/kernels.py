"""The functions H of Parameterized AP Loss, summed over sorted points without making the pairs.

A kernel gives Sum_k w_k H(x_k - q) and Sum_k w_k H'(x_k - q) for all queries q, where the points x
are sorted. The transposed sums Sum_i a_i H(s - p_i), which the gradients need, are the same with
points -p_i and query -s.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from rankdet.losses.devices import Constants, is_accelerator, running_sum_from_zero
from rankdet.losses.sorted_points import Cells

_WIDTH = 2.0  # of the window: delta is 1
_BLOCK = 1 << 13


class Kernel(Protocol):
    """H as a sum over pairs."""

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H(x_k - q) [m] for ascending points [n], weights [n] and queries [m]."""

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

    def __init__(self, knots: list[float], coefficients: list[tuple[float, float, float]]) -> None:
        ends = list(pairwise(knots))
        self.pieces = _Pieces(ends, coefficients)
        # With z = d/2 + 1/2 the derivative has the factor 1/2.
        self.derived = _Pieces(ends, [(c1 / 2, c2, 0.0) for _, c1, c2 in coefficients])

    @classmethod
    def through(cls, row: list[float]) -> PiecewisePolynomial:
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
        self, ends: list[tuple[float, float]], coefficients: list[tuple[float, ...]]
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

        # On a CPU a block of queries stays in the cache.
        block = max(1, queries.numel()) if is_accelerator(queries) else _BLOCK
        return torch.cat([at(each) for each in queries.split(block)])


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
    """H(d) = (sign(d) + 1)/2: 1/2 at a tie. Its slope is not asked for."""

    def sums(self, points: Tensor, weights: Tensor, queries: Tensor) -> Tensor:
        """Sum_k w_k H(x_k - q)."""
        above = running_sum_from_zero(weights.flip(0))
        at_or_above = above[points.numel() - torch.searchsorted(points, queries)]
        return (
            at_or_above + above[points.numel() - torch.searchsorted(points, queries, right=True)]
        ) / 2
