"""What differs between a CPU and an accelerator: host reads, and sums in a fixed order.

On an accelerator kernels are queued, and reading a number on the host waits for all of them; and
floating-point atomics, as well as torch.cumsum of floats, add in an order that changes from run to
run. So there: one host read per call (:func:`read_on_host`), sums as integers (whose order does not
matter) and running sums by doubling. On the CPU the plain operations are ordered and faster.
"""

from __future__ import annotations

import torch
from torch import Tensor

_FRACTION_BITS = 31


def is_accelerator(tensor: Tensor) -> bool:
    """Whether reading a value of ``tensor`` stalls a queue."""
    return tensor.device.type != "cpu"


def read_on_host(values: list[Tensor]) -> list[float]:
    """Read scalars with one synchronisation."""
    if not is_accelerator(values[0]):
        return [float(value) for value in values]
    return torch.stack([value.to(torch.float64) for value in values]).tolist()


def positions_of(mask: Tensor, count: int) -> Tensor:
    """Indices [count] where ``mask`` [n] is true; ``count`` is known, so nothing waits for it."""
    if is_accelerator(mask):
        try:
            return torch.nonzero_static(mask, size=count).squeeze(1)
        except NotImplementedError:  # CUDA before torch 2.6: one more synchronisation
            pass
    return torch.nonzero(mask).squeeze(1)


def running_sum(values: Tensor) -> Tensor:
    """Inclusive running sum over the last dimension, bit-equal from run to run."""
    if not is_accelerator(values):
        return values.cumsum(-1)
    step = 1
    while step < values.shape[-1]:
        head, tail = values[..., :step], values[..., step:] + values[..., :-step]
        values = torch.cat((head, tail), -1)
        step *= 2
    return values


def running_sum_from_zero(values: Tensor) -> Tensor:
    """Sums [.., n + 1] of the first 0, 1, .. n elements of ``values`` [.., n]."""
    return torch.cat((values.new_zeros((*values.shape[:-1], 1)), running_sum(values)), -1)


def running_sum_from_end(values: Tensor) -> Tensor:
    """Sum of each element and all after it, over the last dimension."""
    return running_sum(values.flip(-1)).flip(-1)


def add_counts(counts: Tensor, segments: Tensor) -> None:
    """counts[k] += number of ``segments`` equal to k; counts are int64."""
    if is_accelerator(counts):
        one = torch.ones((), dtype=counts.dtype, device=counts.device)
        counts.index_add_(0, segments, one.expand(segments.shape))
    else:
        counts += torch.bincount(segments, minlength=counts.numel())


class SegmentTotals:
    """Per-segment totals of numbers in [0, unit], each at a resolution of 2**-62 units.

    Accelerators add two integers per number, the high and the low 31 bits: exact, hence the same
    in any order. 2**31 numbers fit. The CPU adds float64 in the order of the list.
    """

    def __init__(self, like: Tensor, segments: int, unit: float) -> None:
        self.unit = unit
        self.as_integers = is_accelerator(like)
        kind = torch.int64 if self.as_integers else torch.float64
        self.high = torch.zeros(segments, dtype=kind, device=like.device)
        self.low = torch.zeros_like(self.high)

    def add(self, segments: Tensor, values: Tensor) -> None:
        """Add ``values`` [n] float64 to their ``segments`` [n]."""
        if not self.as_integers:
            self.high.index_add_(0, segments, values)
            return
        scaled = values.mul(2.0**_FRACTION_BITS / self.unit)
        scaled = scaled.nan_to_num_(0.0, 0.0, 0.0).clamp_(0, 2.0**_FRACTION_BITS)
        high = scaled.floor()
        low = scaled.sub_(high).mul_(2.0**_FRACTION_BITS)
        self.high.index_add_(0, segments, high.to(torch.int64))
        self.low.index_add_(0, segments, low.to(torch.int64))

    def totals(self) -> Tensor:
        """The totals [segments], float64."""
        if not self.as_integers:
            return self.high
        low = self.low.to(torch.float64) * 2.0**-_FRACTION_BITS
        return (self.high.to(torch.float64) + low) * (self.unit * 2.0**-_FRACTION_BITS)
