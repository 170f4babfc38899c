"""Window sums over sorted points: Sum_k w_k H(x_k - q) for every query q, by running sums.

    Sum_k w_k H(x_k - q) = Sum of w_k above the window
                         + Sum of w_k (x_k - (q - delta)) / (2 delta) inside it.

The points of the window are a run of the sorted list, so both terms are differences of running
sums from the high-score end. A running sum of w_k x_k would lose digits where |x| is large beside
delta. So the axis is cut into cells as wide as the window, x_k is taken relative to its cell, and a
window (it touches two cells, three with rounding) is summed cell by cell.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.losses.devices import running_sum_from_end


def with_zero(sums: Tensor) -> Tensor:
    """Append the empty sum, so that index n means nothing is left."""
    return torch.cat((sums, sums.new_zeros((*sums.shape[:-1], 1))), -1)


class Cells:
    """Ascending points [n], float64, with the lower end of the cell that each lies in."""

    def __init__(self, points: Tensor, width: float) -> None:
        self.points, self.width = points, width
        self.floors = torch.floor(points / width) * width

    def runs(self, first: Tensor, last: Tensor, lowest: Tensor) -> list[tuple[Tensor, ...]]:
        """Split runs first..last-1 of points, all in [lowest, lowest + width], at cell borders.

        Returns (first, last, floor of the cell), each [queries], for up to three cells.
        """
        number = torch.floor(lowest / self.width)
        runs = []
        for step in range(3):
            end = torch.searchsorted(self.floors, (number + (step + 1)) * self.width)
            end = last if step == 2 else torch.minimum(torch.maximum(end, first), last)
            runs.append((first, end, (number + step) * self.width))
            first = end
        return runs


class SortedWindows:
    """Windows [q - delta, q + delta] of queries [m] over ascending points [n]; delta may be 0."""

    def __init__(self, points: Tensor, queries: Tensor, delta: float) -> None:
        self.delta = delta
        if delta == 0:
            self.last = torch.searchsorted(points, queries)
            return
        self.lowest = queries - delta
        first = torch.searchsorted(points, self.lowest, right=True)
        self.last = torch.searchsorted(points, queries + delta)
        self.cells = Cells(points, 2 * delta)
        self.runs = self.cells.runs(first, torch.maximum(first, self.last), self.lowest)

    def sums(self, weights: Tensor, row: Tensor | None = None) -> Tensor:
        """Sum_k w_k H(x_k - q) for weights [n] or [rows, n]; with ``row`` [m], of that row only."""
        above = with_zero(running_sum_from_end(weights))
        if self.delta == 0:
            return _pick(above, self.last, row)
        inner = weights * (self.cells.points - self.cells.floors)
        inner = with_zero(running_sum_from_end(inner))
        inside = 0.0
        for first, last, floor in self.runs:
            mass = _pick(above, first, row) - _pick(above, last, row)
            reach = _pick(inner, first, row) - _pick(inner, last, row)
            inside = inside + reach + mass * (floor - self.lowest)
        return _pick(above, self.last, row) + inside / (2 * self.delta)


def _pick(sums: Tensor, index: Tensor, row: Tensor | None) -> Tensor:
    if row is None:
        return sums.index_select(-1, index)
    return sums.reshape(-1).index_select(0, row * sums.shape[-1] + index)
