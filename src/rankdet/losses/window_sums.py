"""Sums of the window function over positives and negatives in O((P + N) log P).

v1
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1 << 17


def round_up_to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the smallest numbers of ``dtype`` that are >= the float64 ``values``.

    For x of that dtype, x >= v and x >= round_up(v) are the same test, so single precision keys
    sort the elements into exactly the segments that double precision keys would.
    """
    if dtype == values.dtype:
        return values
    rounded = values.to(dtype)
    return torch.where(
        rounded.to(values.dtype) < values,
        torch.nextafter(rounded, rounded.new_full((), torch.inf)),
        rounded,
    )


class Windows:
    """The windows [p_i - delta, p_i + delta] of P ascending positives, and the segments they cut.

    Segment k (0..2P) holds the x with edges[k-1] <= x < edges[k]; segment 0 lies below all windows.
    """

    def __init__(self, positives: Tensor, delta: float) -> None:
        self.positives = positives
        self.delta = delta
        count = positives.numel()
        both = torch.cat((positives - delta, positives + delta))
        self.edges, order = torch.sort(both, stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(2 * count, device=order.device)
        self.lower, self.upper = place[:count], place[count:]
        # A gap between windows counts as having no width: H is constant there.
        opened = torch.where(order < count, 1, -1).cumsum(0)
        gap = self.edges.diff(append=self.edges[-1:])
        self.widths = torch.where(opened > 0, gap, 0.0)
        self.is_covered = opened > 0

    def sums(self, counts: Tensor, offsets: Tensor) -> Tensor:
        """Sum_j w_j H(x_j - p_i) from per-segment sums of w_j and of w_j (x_j - lower edge)."""
        above = counts[1:].flip(0).cumsum(0).flip(0)  # weight at or above each edge
        if self.delta == 0:
            return above[self.upper]
        further = torch.cat((above[1:], above.new_zeros(1)))
        offsets = torch.where(self.is_covered, offsets[1:], 0.0)
        areas = (offsets + further * self.widths).flip(0).cumsum(0).flip(0)
        return ((areas[self.lower] - areas[self.upper]) / (2 * self.delta)).clamp(min=0)

    def lines(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Sum_i c_i H(x - p_i) per segment: value at the lower edge, and slope (2P + 1 each)."""
        zero = coefficients.new_zeros(1)
        if self.delta == 0:
            steps = torch.zeros_like(self.edges)
            steps[self.upper] = coefficients
            return torch.cat((zero, steps.cumsum(0))), torch.zeros_like(torch.cat((zero, steps)))
        turns = torch.zeros_like(self.edges)
        turns[self.lower] = coefficients
        turns[self.upper] = -coefficients
        slopes = torch.where(self.is_covered, turns.cumsum(0), 0.0) / (2 * self.delta)
        values = torch.cat((zero, (slopes * self.widths).cumsum(0)[:-1]))
        return torch.cat((zero, values)), torch.cat((zero, slopes))


def sums_over_positives(positives: Tensor, weights: Tensor, delta: float) -> Tensor:
    """Sum_k w_k H(p_k - p_i) over ascending positives, the own term k = i included."""
    above = torch.cat((weights.flip(0).cumsum(0).flip(0), weights.new_zeros(1)))
    if delta == 0:
        return above[torch.searchsorted(positives, positives)]
    first = torch.searchsorted(positives, positives - delta, right=True)
    last = torch.searchsorted(positives, positives + delta)
    centre = positives.mean()
    moments = weights * (positives - centre)
    moments = torch.cat((moments.flip(0).cumsum(0).flip(0), weights.new_zeros(1)))
    inside = above[first] - above[last]
    reach = moments[first] - moments[last] - inside * (positives - centre - delta)
    return above[last] + reach / (2 * delta)


class NegativeSegments:
    """The negatives of a flat logit vector, assigned to the segments of the windows."""

    def __init__(self, windows: Windows, logits: Tensor, is_negative: Tensor) -> None:
        self.windows = windows
        key_dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        keys = round_up_to(windows.edges, key_dtype)
        segments = windows.edges.numel() + 1
        self.lower_edges = torch.cat((windows.edges[:1], windows.edges))
        self.counts = windows.edges.new_zeros(segments)
        self.offsets = windows.edges.new_zeros(segments)
        self.segment = torch.empty(logits.shape, dtype=torch.int32, device=logits.device)
        for start in range(0, logits.numel(), CHUNK):
            part = slice(start, start + CHUNK)
            key = torch.where(is_negative[part], logits[part].to(key_dtype), -torch.inf)
            segment = torch.bucketize(key, keys, right=True, out_int32=True)
            self.segment[part] = segment
            self.counts += torch.bincount(segment, minlength=segments)
            offset = key.double() - self.lower_edges[segment]
            self.offsets.index_add_(0, segment, offset)

    def false_positives(self) -> Tensor:
        """FP_i = Sum_j H(s_j - p_i) per ascending positive."""
        return self.windows.sums(self.counts, self.offsets)


def negative_gradients(
    segment: Tensor, logits: Tensor, lower_edges: Tensor, values: Tensor, slopes: Tensor
) -> Tensor:
    """Sum_i c_i H(s_j - p_i) per element; 0 in segment 0."""
    gradient = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    for start in range(0, logits.numel(), CHUNK):
        part = slice(start, start + CHUNK)
        own = segment[part]
        offset = logits[part].double() - lower_edges[own]
        gradient[part] = (values[own] + slopes[own] * offset).to(logits.dtype)
    return gradient
