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

from rankdet.losses import pairs
from rankdet.losses.devices import running_sum_from_zero


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
        self.delta, count = delta, points.numel()
        if delta == 0:
            self.above = count - torch.searchsorted(points, queries)
            return
        lowest = queries - delta
        first = torch.searchsorted(points, lowest, right=True)
        last = torch.maximum(first, torch.searchsorted(points, queries + delta))
        cells = Cells(points, 2 * delta)
        self.inner = (points - cells.floors).flip(0)
        runs = cells.runs(first, last, lowest)
        # Running sums go down from the highest point: n - k of them are at or above point k.
        self.runs = [(count - start, count - end, floor - lowest) for start, end, floor in runs]
        self.above = count - last

    def sums(self, weights: Tensor, row: Tensor | None = None) -> Tensor:
        """Sum_k w_k H(x_k - q) [.., m]; with ``row`` [m], of that row of the weights only.

        Args:
            weights: [n] or [rows, n], beginning with that of the HIGHEST point.
            row: [m] or None.
        """
        mass = running_sum_from_zero(weights)
        above = _pick(mass, self.above, row)
        if self.delta == 0:
            return above
        reach = running_sum_from_zero(weights * self.inner)
        inside = 0.0
        for start, end, floor in self.runs:
            own = _pick(mass, start, row) - _pick(mass, end, row)
            inside = inside + own * floor + (_pick(reach, start, row) - _pick(reach, end, row))
        return above + inside / (2 * self.delta)


def sums_above(points: Tensor, delta: float, *weights: Tensor) -> tuple[Tensor, ...]:
    """Sum_k w_k H(x_k - x_i) [n], the own term H(0) included, per weights [n]; points ascending."""
    if pairs.suit(points):
        above = pairs.window(points[None, :] - points[:, None], delta)
        return (above @ torch.stack(weights, 1)).unbind(1)
    windows = SortedWindows(points, points, delta)
    return windows.sums(torch.stack(weights).flip(-1)).unbind()


def _pick(sums: Tensor, index: Tensor, row: Tensor | None) -> Tensor:
    if row is None:
        return sums.index_select(-1, index)
    return sums.reshape(-1).index_select(0, row * sums.shape[-1] + index)
