"""Sums of H over the negatives, without sorting them: O((P + N) log P) time, O(N) memory.

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

import torch
from torch import Tensor

from rankdet.losses.devices import running_sum, running_sum_from_end


class Windows:
    """The windows of ascending positives [P], float64, and the segments [S] that they cut.

    Attributes:
        edges: [S - 1] ascending; on the CPU without repetitions.
        lower, upper: [P] index in ``edges`` of p_i - delta and of p_i + delta.
    """

    def __init__(self, positives: Tensor, delta: float, *, merge: bool) -> None:
        """``merge`` equal edges: fewer segments, but their number must be read on the host."""
        self.delta = delta
        ends = torch.cat((positives - delta, positives + delta))
        self.edges = torch.sort(ends, stable=True).values
        if merge:
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
        if self.edges.numel() == 0:
            return self.edges
        above = running_sum_from_end(counts[1:]).to(torch.float64)
        if self.delta == 0:
            return above[self.upper]
        further = torch.cat((above[1:], above.new_zeros(1)))
        steps = torch.where(self.is_covered, offsets[1:], 0.0) + further * self.widths
        area = running_sum_from_end(steps)
        return ((area[self.lower] - area[self.upper]) / (2 * self.delta)).clamp(min=0)

    def lines(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Sum_i c_i H(s - p_i) per segment: value at the lower edge and slope, both [S]."""
        if coefficients.numel() == 0:
            return coefficients.new_zeros(1), coefficients.new_zeros(1)
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
