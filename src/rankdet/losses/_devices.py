"""What differs between a CPU and an accelerator: host reads, blocks, sums in a fixed order.

On an accelerator kernels are queued, and reading a number on the host waits for all of them: one
host read per call (:func:`read_on_host`). Floating-point atomics, as well as torch.cumsum of
floats, add in an order that changes from run to run: there sums are made of integers (whose order
does not matter) and running sums are products with a triangle of ones. On the CPU the plain
operations are ordered; there integers would make the losses 1.4 to 2 times, triangles up to 1.2
times as slow.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

_FRACTION_BITS = 31
_BLOCK = 128  # of a running sum
_MOST_COPIES = 1 << 18  # of all segments: 2 MiB of integers
_LARGEST_BLOCK = 1 << 24  # of an accelerator: bounds the memory of temporaries


def is_accelerator(tensor: Tensor) -> bool:
    """Whether reading a value of ``tensor`` stalls a queue."""
    return tensor.device.type != "cpu"


def read_on_host(values: list[Tensor]) -> list[float]:
    """Read scalars with one synchronization."""
    numbers: list[float] = torch.stack([value.to(torch.float64) for value in values]).tolist()
    return numbers


def positions_of(mask: Tensor, count: int) -> Tensor:
    """Indices [count] where ``mask`` [n] is true; ``count`` is known, so nothing waits for it."""
    try:
        return torch.nonzero_static(mask, size=count).squeeze(1)
    except NotImplementedError:  # CUDA before torch 2.6: one more synchronization
        return torch.nonzero(mask).squeeze(1)


def block_size(tensor: Tensor, on_cpu: int) -> int:
    """Elements to work on at once: on a CPU those whose temporaries stay in the cache.

    Without blocks Parameterized AP is up to 1.3 times as slow there.
    """
    return _LARGEST_BLOCK if is_accelerator(tensor) else on_cpu


def running_sum(values: Tensor) -> Tensor:
    """Inclusive running sum over the last dimension, bit-equal from run to run."""
    count = values.shape[-1]
    # Integers add to the same sum in any order.
    if not is_accelerator(values) or not values.is_floating_point() or count < 2:
        return values.cumsum(-1)
    upper = _ones_above_diagonal(values.device, values.dtype)
    if count <= _BLOCK:
        return values @ upper[:count, :count]
    blocks = torch.nn.functional.pad(values, (0, -count % _BLOCK)).unflatten(-1, (-1, _BLOCK))
    inner: Tensor = blocks @ upper
    before = running_sum(inner[..., :-1, -1])
    inner[..., 1:, :] += before[..., None]
    return inner.flatten(-2)[..., :count]


@functools.cache
def _ones_above_diagonal(device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.ones(_BLOCK, _BLOCK, device=device, dtype=dtype).triu()


def running_sum_from_zero(values: Tensor) -> Tensor:
    """Sums [.., n + 1] of the first 0, 1, .. n elements of ``values`` [.., n]."""
    return torch.cat((values.new_zeros((*values.shape[:-1], 1)), running_sum(values)), -1)


def running_sum_from_end(values: Tensor) -> Tensor:
    """Sum of each element and all after it, over the last dimension."""
    return running_sum(values.flip(-1)).flip(-1)


class Constants:
    """Rows of numbers as the columns of a tensor, float64, kept on every device that asks.

    Copying numbers to an accelerator waits for its queue: once, not in every call.
    """

    def __init__(self, rows: Sequence[tuple[float, ...]]) -> None:
        self.rows = rows
        self.on = functools.cache(self._copy)

    def _copy(self, device: torch.device) -> Tensor:
        return torch.tensor(self.rows, dtype=torch.float64, device=device).T.contiguous()


class SegmentSums:
    """Per segment: how many numbers, and the total of numbers in [0, unit].

    Accelerators add in any order, so there the totals are integers: two per number, the high and
    the low 31 bits, hence exact and the same in any order at a resolution of 2**-62 units; 2**31
    numbers fit. Most negatives lie in one segment, and additions to one address wait for each
    other: neighbors in the list add to different copies of their segment. The CPU adds float64 in
    the order of the list.
    """

    def __init__(self, like: Tensor, segments: int, unit: float) -> None:
        self.unit, self.segments = unit, segments
        self.as_integers = is_accelerator(like)
        # A power of two; all copies together stay in the cache.
        self.copies = 1 << max(0, (_MOST_COPIES // segments).bit_length() - 1)
        if not self.as_integers:
            self.copies = 1
        size = segments * self.copies
        kind = torch.int64 if self.as_integers else torch.float64
        self.number = torch.zeros(size, dtype=torch.int64, device=like.device)
        self.parts = torch.zeros(2 if self.as_integers else 1, size, dtype=kind, device=like.device)

    def add(self, segments: Tensor, values: Tensor | None) -> None:
        """Count numbers [n] in their ``segments`` [n] int32; add the ``values`` [n] float64."""
        if not self.as_integers:
            self.number += torch.bincount(segments, minlength=self.segments)
            if values is not None:
                self.parts[0].index_add_(0, segments, values)
            return
        own = torch.arange(segments.numel(), dtype=torch.int32, device=segments.device)
        own = own.bitwise_and_(self.copies - 1).add_(segments, alpha=self.copies)
        self.number.index_add_(0, own, self.number.new_ones(()).expand(own.shape))
        if values is not None:
            # What is no number of a window (positives, ignored, above or below all) is bounded.
            scaled = values.mul(2.0**_FRACTION_BITS / self.unit).clamp_(0, 2.0**_FRACTION_BITS)
            high = scaled.to(torch.int64)
            low = scaled.sub_(high).mul_(2.0**_FRACTION_BITS).to(torch.int64)
            self.parts[0].index_add_(0, own, high)
            self.parts[1].index_add_(0, own, low)

    def counts(self) -> Tensor:
        """How many numbers each segment holds [segments], int64."""
        return self.number.view(-1, self.copies).sum(1)

    def totals(self) -> Tensor:
        """The totals [segments], float64."""
        if not self.as_integers:
            return self.parts[0]
        high, low = self.parts.view(2, -1, self.copies).sum(2).to(torch.float64).unbind()
        return high.add(low, alpha=2.0**-_FRACTION_BITS) * (self.unit * 2.0**-_FRACTION_BITS)
