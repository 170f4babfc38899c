"""Which segment a logit lies in: the number of window edges at or below it.

A binary search of N logits in 2P edges costs most of the losses' time on a CPU. The grid search
replaces it by one look-up: the range of the edges is cut into equal cells, a table holds how many
edges lie in lower cells, and one comparison settles a cell with one edge. What is left (cells with
several edges) is searched. Cell numbers come from the same floating-point steps for logits and for
edges, and these steps are monotone; so the result is exact, not approximate.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor

from rankdet.losses.devices import is_accelerator

_CELLS_PER_EDGE = 16
_FEWEST_CELLS, _MOST_CELLS = 1 << 10, 1 << 17  # the table of the largest grid fits a cache


def round_up_to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The smallest numbers of ``dtype`` that are >= the float64 ``values``.

    For x of that dtype, x >= v and x >= round_up(v) are the same test, so single-precision keys
    fall into exactly the segments that double-precision keys would.
    """
    if dtype == values.dtype:
        return values
    rounded = values.to(dtype)
    next_up = torch.nextafter(rounded, rounded.new_full((), torch.inf))
    return torch.where(rounded.to(values.dtype) < values, next_up, rounded)


class GridSearch:
    """Search in several lists of ascending edges at once, one list per pool (CPU)."""

    def __init__(self, edges: list[Tensor]) -> None:
        count = max(1, *(each.numel() for each in edges))
        cells = 1 << (count * _CELLS_PER_EDGE - 1).bit_length()
        self.cells = min(max(cells, _FEWEST_CELLS), _MOST_CELLS)
        infinity = edges[0].new_full((1,), torch.inf)
        self.edges = edges
        self.fenced = torch.cat([part for each in edges for part in (each, infinity)])
        sizes = [each.numel() + 1 for each in edges]
        self.starts = torch.tensor(
            [0, *accumulate(sizes[:-1])], dtype=torch.int32, device=infinity.device
        )
        tables = [self._table(each) for each in edges]
        self.lowest = torch.stack([lowest for lowest, _, _ in tables])
        self.scale = torch.stack([scale for _, scale, _ in tables])
        below = [table + start for (_, _, table), start in zip(tables, self.starts, strict=True)]
        self.below = torch.cat(below)

    def _table(self, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if edges.numel() == 0:
            zero = edges.new_zeros(())
            return zero, zero, torch.zeros(self.cells, dtype=torch.int32, device=edges.device)
        lowest = edges[0]
        # A range of 0 gives an infinite scale, an infinite range a scale of 0: both bounded.
        tiny, huge = torch.finfo(edges.dtype).tiny, torch.finfo(edges.dtype).max
        scale = ((self.cells - 1) / (edges[-1] - lowest)).clamp(tiny, huge)
        cell = ((edges - lowest) * scale).clamp_(0, self.cells - 1).to(torch.int32)
        per_cell = torch.bincount(cell, minlength=self.cells)
        return lowest, scale, (per_cell.cumsum(0) - per_cell).to(torch.int32)

    def __call__(self, keys: Tensor, pools: Tensor | None) -> Tensor:
        """Segment [n], int32, of keys [n]; the segments of pool g start at ``starts[g]``."""
        if pools is None:
            cell = keys.sub(self.lowest[0]).mul_(self.scale[0])
            cell = cell.clamp_(0, self.cells - 1).to(torch.int32)
        else:
            cell = keys.sub(self.lowest.index_select(0, pools))
            cell = cell.mul_(self.scale.index_select(0, pools))
            cell = cell.clamp_(0, self.cells - 1).to(torch.int32)
            cell += pools.to(torch.int32) * self.cells
        segment = self.below.index_select(0, cell)
        segment += keys >= self.fenced.index_select(0, segment)
        unsettled = keys >= self.fenced.index_select(0, segment)
        if unsettled.any():
            self._search(segment, keys, pools, unsettled)
        return segment

    def _search(self, segment: Tensor, keys: Tensor, pools: Tensor | None, where: Tensor) -> None:
        place = torch.nonzero(where).squeeze(1)
        keys = keys[place]
        for pool, (edges, start) in enumerate(zip(self.edges, self.starts, strict=True)):
            own = slice(None) if pools is None else torch.nonzero(pools[place] == pool).squeeze(1)
            found = torch.bucketize(keys[own], edges, right=True, out_int32=True)
            segment[place[own]] = found + start


class BinarySearch:
    """The same by a binary search each: on an accelerator, where it is cheap and needs no host."""

    def __init__(self, edges: list[Tensor]) -> None:
        self.edges = edges

    def __call__(self, keys: Tensor, pools: Tensor | None) -> Tensor:
        """Segment [n], int32, of keys [n]."""
        start, segment = 0, None
        for pool, edges in enumerate(self.edges):
            found = torch.bucketize(keys, edges, right=True, out_int32=True)
            segment = found if pool == 0 else torch.where(pools == pool, found + start, segment)
            start += edges.numel() + 1
        return segment


def segment_search(edges: list[Tensor]) -> GridSearch | BinarySearch:
    """The search that suits the device of ``edges``."""
    return BinarySearch(edges) if is_accelerator(edges[0]) else GridSearch(edges)
