"""The windows of few positives, each against every edge: for an accelerator.

There few positives cost the launches of kernels, not arithmetic. The running sums and searches of
window_sums.py and sorted_points.py are some two hundred launches; all pairs of P positives and 2P
edges are a dozen, in O(P^2) time and memory. Same edges, same segments, same sums:

    FP_i = Sum_k [n_k H(e_k - p_i) + r_k H'(e_k - p_i)],     H' = 1/(2 delta) where window i covers
                                                             segment k, else 0;
    Sum_i c_i H(s - p_i) on segment k has the value Sum_i c_i H(e_k - p_i) at the lower edge e_k,
    and the slope Sum_i c_i H'(e_k - p_i).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.losses.devices import is_accelerator

MOST_POSITIVES = 2048  # 2 x 64 MiB of pairs


def window(differences: Tensor, delta: float) -> Tensor:
    """H(x) = clamp(x / (2 delta) + 1/2, 0, 1), in place; for delta = 0 the step that is 1 at 0."""
    if delta == 0:
        return (differences >= 0).to(differences.dtype)
    return differences.mul_(1 / (2 * delta)).add_(0.5).clamp_(0, 1)


def suit(positives: Tensor) -> bool:
    """Whether the pairs of ``positives`` [P] are faster than running sums over them."""
    return is_accelerator(positives) and positives.numel() <= MOST_POSITIVES


class PairedWindows:
    """What :class:`rankdet.losses.window_sums.Windows` gives, for delta > 0; edges may be equal."""

    def __init__(self, positives: Tensor, delta: float) -> None:
        self.delta = delta
        lowest, highest = (positives - delta)[:, None], (positives + delta)[:, None]
        self.edges = torch.sort(torch.cat((lowest, highest)).squeeze(1)).values
        reached = self.edges >= lowest
        # From the lower end, not from p_i: at the window's own edge H is 0 without rounding, so
        # that a window into which next to nothing reaches has all the digits of its sum.
        self.heights = (self.edges - lowest).mul_(1 / (2 * delta)).clamp_(0, 1)  # [P, 2P]
        self.slopes = (reached & (self.edges < highest)).to(positives.dtype) / (2 * delta)

    @property
    def segments(self) -> int:
        """S."""
        return self.edges.numel() + 1

    def false_positives(self, counts: Tensor, offsets: Tensor) -> Tensor:
        """FP_i [P] from n_k and r_k, both [S]; entry 0, below all windows, is not used."""
        return torch.addmv(
            self.heights @ counts[1:].to(self.heights.dtype), self.slopes, offsets[1:]
        )

    def lines(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Sum_i c_i H(s - p_i) per segment: value at the lower edge and slope, both [S]."""
        lines = coefficients.new_zeros(2, self.segments)
        torch.mv(self.heights.T, coefficients, out=lines[0, 1:])
        torch.mv(self.slopes.T, coefficients, out=lines[1, 1:])
        return lines[0], lines[1]
