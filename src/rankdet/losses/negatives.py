"""Two passes over the flat logits: into the segments of the windows, and back as gradients.

The list is walked in chunks: on a CPU the temporaries stay in the cache, everywhere they stay
small. Kept from one pass to the other: 4 bytes per logit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.losses.devices import SegmentSums, is_accelerator
from rankdet.losses.segment_search import round_up_to, segment_search
from rankdet.losses.window_sums import Windows


def _chunks(logits: Tensor, segments: int):
    chunk = 1 << 24 if is_accelerator(logits) else max(1 << 17, 4 * segments)
    for start in range(0, logits.numel(), chunk):
        yield slice(start, start + chunk)


class Negatives:
    """The negatives of a flat list, counted per segment of each pool's windows.

    Attributes:
        segment: [n] int32; positives and ignored entries share segment 0 of their pool with the
            negatives below all windows.
        lower_edge: [S] float64, over the segments of all pools.
    """

    def __init__(
        self, windows: list[Windows], logits: Tensor, targets: Tensor, pools: Tensor | None
    ) -> None:
        self.sizes = [each.segments for each in windows]
        key_dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        search = segment_search([round_up_to(each.edges, key_dtype) for each in windows])
        first = logits.new_zeros(1, dtype=torch.float64)
        bounds = [part for each in windows for part in (first, each.edges)]
        self.lower_edge = torch.cat(bounds)
        sums = SegmentSums(logits, sum(self.sizes), 2 * windows[0].delta or 1.0)
        self.segment = torch.empty(logits.shape, dtype=torch.int32, device=logits.device)
        for part in _chunks(logits, sum(self.sizes)):
            key = torch.where(targets[part] == 0, logits[part].to(key_dtype), -torch.inf)
            segment = search(key, None if pools is None else pools[part])
            self.segment[part] = segment
            offset = None
            if windows[0].delta > 0:
                offset = key.to(torch.float64).sub_(self.lower_edge.index_select(0, segment))
            sums.add(segment, offset)
        counts, totals = (each.split(self.sizes) for each in (sums.counts(), sums.totals()))
        per_pool = zip(windows, counts, totals, strict=True)
        self.false_positives = [each.false_positives(n, r) for each, n, r in per_pool]


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
