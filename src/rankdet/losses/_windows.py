"""Sums of H over the negatives, without sorting them: O((P + N) log P) time, O(N) memory.

Sums over sorted points (the positives) are at the end: :class:`SortedWindows`.

H(x) = clamp(x / (2 delta) + 1/2, 0, 1). Positive i with logit p_i opens a window from p_i - delta
to p_i + delta: a negative s below it counts 0, above it 1, inside it (s - (p_i - delta))/(2 delta).
The 2P window edges e_0 <= e_1 <= ... cut the line into 2P + 1 segments; segment k+1 is
[e_k, e_k+1). All that the losses ask of the negatives depends on two numbers per segment:

    n_k = how many negatives lie in segment k          r_k = Sum of (s - lower edge of k) over them.

False positives. With A_k = Sum_{m > k} n_m, the negatives at or above e_k, the area

    G_k = Sum_j max(s_j - e_k, 0) = G_{k+1} + r_{k+1} + A_{k+1} (e_{k+1} - e_k)

is a running sum from the high-score end, and, as H is the difference of two ramps,

    FP_i = Sum_j H(s_j - p_i) = (G at p_i - delta  -  G at p_i + delta) / (2 delta).

Every term is >= 0, and the smallest FP, by which the losses divide, stands at the start of the sum.

Gradients. Sum_i c_i H(s - p_i) is a piecewise linear function of s: on segment k+1 its slope is
b_{k+1} = Sum of c_i/(2 delta) over the windows that cover the segment, its value at the lower edge
v_{k+1} = v_k + b_k (e_k - e_{k-1}), running sums from the low end. So each negative needs one
look-up: v + b (s - lower edge).

Where no window covers a segment, H is constant: such a gap counts as having no width, which keeps
G small however far apart the logits are. delta = 0 (Rank & Sort only): H is the step that is 1 at
0, FP_i = A at p_i, and the gradient is the running sum of c_i itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from rankdet.losses._devices import (
    SegmentSums,
    block_size,
    is_accelerator,
    running_sum,
    running_sum_from_end,
    running_sum_from_zero,
)

_CELLS_PER_EDGE = 16
_FEWEST_CELLS, _MOST_CELLS = 1 << 10, 1 << 17  # the table of the largest grid fits a cache


def window(differences: Tensor, delta: float) -> Tensor:
    """H(x) = clamp(x / (2 delta) + 1/2, 0, 1), in place; for delta = 0 the step that is 1 at 0."""
    if delta == 0:
        return (differences >= 0).to(differences.dtype)
    return differences.mul_(1 / (2 * delta)).add_(0.5).clamp_(0, 1)


class Windows:
    """The windows of ascending positives [P], float64, and the segments [S] that they cut.

    Attributes:
        edges: [S - 1] ascending; on the CPU without repetitions.
        lower, upper: [P] index in ``edges`` of p_i - delta and of p_i + delta.
    """

    def __init__(self, positives: Tensor, delta: float) -> None:
        self.delta = delta
        ends = torch.cat((positives - delta, positives + delta))
        self.edges = torch.sort(ends, stable=True).values
        # The number of distinct edges is a shape: an accelerator would be read once more.
        if not is_accelerator(positives):
            self.edges = torch.unique_consecutive(self.edges)
        self.lower = torch.searchsorted(self.edges, positives - delta)
        self.upper = torch.searchsorted(self.edges, positives + delta)
        here = torch.arange(self.edges.numel(), device=positives.device)
        opened = torch.searchsorted(self.lower, here, right=True)
        closed = torch.searchsorted(self.upper, here, right=True)
        self.is_covered = opened > closed  # [S - 1]: the segment above each edge
        gaps = self.edges.diff(append=self.edges[-1:])
        self.widths = torch.where(self.is_covered, gaps, 0.0)

    @property
    def segments(self) -> int:
        """S."""
        return self.edges.numel() + 1

    def false_positives(self, counts: Tensor, offsets: Tensor) -> Tensor:
        """FP_i [P] from n_k and r_k, both [S]; entry 0, below all windows, is not used."""
        above = running_sum_from_end(counts[1:]).to(torch.float64)
        if self.delta == 0:
            return above[self.upper]
        further = torch.cat((above[1:], above.new_zeros(1)))
        steps = torch.where(self.is_covered, offsets[1:], 0.0) + further * self.widths
        area = running_sum_from_end(steps)
        return ((area[self.lower] - area[self.upper]) / (2 * self.delta)).clamp(min=0)

    def lines(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Sum_i c_i H(s - p_i) per segment: value at the lower edge and slope, both [S]."""
        if self.delta == 0:
            values = self._total_per_edge(self.upper, coefficients)
            values = torch.cat((values.new_zeros(1), running_sum(values)))
            return values, torch.zeros_like(values)
        zero = coefficients.new_zeros(1)
        turns = self._total_per_edge(self.lower, coefficients)
        turns = turns - self._total_per_edge(self.upper, coefficients)
        slopes = running_sum(turns) / (2 * self.delta)
        slopes = torch.where(self.is_covered, slopes, 0.0)
        values = torch.cat((zero, zero, running_sum(slopes * self.widths)[:-1]))
        return values, torch.cat((zero, slopes))

    def _total_per_edge(self, edge: Tensor, values: Tensor) -> Tensor:
        """Sum of ``values`` [P] whose ascending ``edge`` [P] is each one, in a fixed order."""
        # Differences of a running sum would leave rounding where there is nothing; a scatter of
        # floats has no fixed order on an accelerator. There edges are not merged: each place in
        # ``edges`` past the first of equal ones is unused, and ties go to the first by rank.
        totals = values.new_zeros(self.edges.numel())
        if self.edges.numel() != 2 * values.numel():
            return totals.index_add_(0, edge, values)
        tie = torch.arange(values.numel(), device=values.device)
        tie = tie - torch.searchsorted(edge, edge)
        return totals.index_copy_(0, edge + tie, values)


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
    """Which segment a logit lies in: the number of edges at or below it.

    A binary search of N logits in 2P edges costs most of the losses' time on a CPU. Here the range
    of the edges is cut into equal cells, a table holds how many edges lie in lower cells, and one
    comparison settles a cell with one edge; what is left (cells with several edges) is searched.
    Cell numbers come from the same floating-point steps for logits and for edges, and these steps
    are monotone; so the result is exact.

    Args:
        edges: [S - 1], ascending, at least one.
    """

    def __init__(self, edges: Tensor) -> None:
        cells = 1 << (edges.numel() * _CELLS_PER_EDGE - 1).bit_length()
        self.cells = min(max(cells, _FEWEST_CELLS), _MOST_CELLS)
        self.edges, self.lowest = edges, edges[0]
        self.fenced = torch.cat((edges, edges.new_full((1,), torch.inf)))
        # A range of 0 gives an infinite scale, an infinite range a scale of 0: both bounded.
        tiny, huge = torch.finfo(edges.dtype).tiny, torch.finfo(edges.dtype).max
        self.scale = ((self.cells - 1) / (edges[-1] - self.lowest)).clamp(tiny, huge)
        per_cell = torch.bincount(self._cell(edges), minlength=self.cells)
        self.below = (per_cell.cumsum(0) - per_cell).to(torch.int32)

    def _cell(self, keys: Tensor) -> Tensor:
        cell = keys.sub(self.lowest).mul_(self.scale)
        return cell.clamp_(0, self.cells - 1).to(torch.int32)

    def __call__(self, keys: Tensor) -> Tensor:
        """Segment [n], int32, of keys [n]."""
        segment = self.below.index_select(0, self._cell(keys))
        segment += keys >= self.fenced.index_select(0, segment)
        unsettled = keys >= self.fenced.index_select(0, segment)
        if unsettled.any():
            place = torch.nonzero(unsettled).squeeze(1)
            segment[place] = _binary_search(self.edges, keys[place])
        return segment


def _binary_search(edges: Tensor, keys: Tensor) -> Tensor:
    return torch.bucketize(keys, edges, right=True, out_int32=True)


def segment_search(edges: Tensor) -> Callable[[Tensor], Tensor]:
    """The search in ``edges`` [S - 1].

    On an accelerator the binary search is one launch, and the grid would read on the host. On a CPU
    the losses are up to 1.8 times as slow with it.
    """
    if is_accelerator(edges):
        return functools.partial(_binary_search, edges)
    return GridSearch(edges)


def _chunks(logits: Tensor, segments: int) -> Iterator[slice]:
    chunk = block_size(logits, max(1 << 17, 4 * segments))
    for start in range(0, logits.numel(), chunk):
        yield slice(start, start + chunk)


class Negatives:
    """The negatives of a flat list, counted per segment of the windows; 4 bytes a logit are kept.

    Attributes:
        segment: [n] int32; positives and ignored entries share segment 0 with the negatives below
            all windows.
        lower_edge: [S] float64.
        false_positives: FP_i [P].
    """

    def __init__(self, windows: Windows, logits: Tensor, targets: Tensor) -> None:
        key_dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        search = segment_search(round_up_to(windows.edges, key_dtype))
        self.lower_edge = torch.cat((windows.edges.new_zeros(1), windows.edges))
        sums = SegmentSums(logits, windows.segments, 2 * windows.delta or 1.0)
        self.segment = torch.empty(logits.shape, dtype=torch.int32, device=logits.device)
        for part in _chunks(logits, windows.segments):
            key = torch.where(targets[part] == 0, logits[part].to(key_dtype), -torch.inf)
            segment = search(key)
            self.segment[part] = segment
            offset = None
            if windows.delta > 0:
                offset = key.to(torch.float64).sub_(self.lower_edge.index_select(0, segment))
            sums.add(segment, offset)
        self.false_positives = windows.false_positives(sums.counts(), sums.totals())


def negative_gradients(
    logits: Tensor, segment: Tensor, lower_edge: Tensor, values: Tensor, slopes: Tensor
) -> Tensor:
    """value + slope (s - lower edge) of each logit's segment, in the dtype of ``logits`` [n]."""
    gradient = torch.empty_like(logits)
    for part in _chunks(logits, values.numel()):
        own = segment[part]
        line = logits[part].to(torch.float64) - lower_edge.index_select(0, own)
        line.mul_(slopes.index_select(0, own)).add_(values.index_select(0, own))
        gradient[part] = line
    return gradient


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
        runs: list[tuple[Tensor, ...]] = []
        for step in range(3):
            end = torch.searchsorted(self.floors, (number + (step + 1)) * self.width)
            end = last if step == 2 else torch.minimum(torch.maximum(end, first), last)
            runs.append((first, end, (number + step) * self.width))
            first = end
        return runs


class SortedWindows:
    """Windows [q - delta, q + delta] of queries [m] over ascending points [n]; delta may be 0.

        Sum_k w_k H(x_k - q) = Sum of w_k above the window
                             + Sum of w_k (x_k - (q - delta)) / (2 delta) inside it.

    The points of the window are a run of the sorted list, so both terms are differences of running
    sums from the high-score end. A running sum of w_k x_k would lose digits where |x| is large
    beside delta. So the axis is cut into cells as wide as the window, x_k is taken relative to its
    cell, and a window (it touches two cells, three with rounding) is summed cell by cell.
    """

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
        inside = torch.zeros_like(above)
        for start, end, floor in self.runs:
            own = _pick(mass, start, row) - _pick(mass, end, row)
            inside = inside + own * floor + (_pick(reach, start, row) - _pick(reach, end, row))
        return above + inside / (2 * self.delta)


def sums_above(points: Tensor, delta: float, *weights: Tensor) -> tuple[Tensor, ...]:
    """Sum_k w_k H(x_k - x_i) [n], the own term H(0) included, per weights [n]; points ascending."""
    windows = SortedWindows(points, points, delta)
    return windows.sums(torch.stack(weights).flip(-1)).unbind()


def _pick(sums: Tensor, index: Tensor, row: Tensor | None) -> Tensor:
    if row is None:
        return sums.index_select(-1, index)
    return sums.reshape(-1).index_select(0, row * sums.shape[-1] + index)
