"""Ranking pools: which logits are ranked together.

The published losses rank all anchors x classes of the images of one GPU. A process that holds more
images than that ranks them pool by pool; the result is the mean over the pools, as data-parallel
training over processes of one pool each would average their gradients. A pool without positives
contributes zero and counts in the mean, as such a process would.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rankdet.losses.devices import read_on_host

_MOST_SLOTS = 1 << 12


@dataclass
class Pools:
    """Pools of a flat list.

    Attributes:
        index: [n] slot of each logit, 0..slots-1; None if all are in one pool.
        positives: positives in each slot.
        count: slots that hold any logit: the divisor of the mean.
    """

    index: Tensor | None
    positives: list[int]
    count: int

    @classmethod
    def of(cls, pools: Tensor | None, positions: Tensor) -> Pools:
        """Pools from their ids [n] and the positions [P] of the positives.

        Two host reads on an accelerator: the largest id, and the sizes.
        """
        if pools is None or pools.numel() == 0:
            return cls(None, [positions.numel()], 1)
        low, high = (int(each) for each in read_on_host(list(torch.aminmax(pools))))
        if low < 0 or high >= _MOST_SLOTS:
            pools = torch.unique(pools, return_inverse=True)[1]
            low, high = 0, int(pools.max())
        if low == high:
            return cls(None, [positions.numel()], 1)
        slots = torch.zeros(high + 1, dtype=torch.int64, device=pools.device)
        one = torch.ones((), dtype=torch.int64, device=pools.device)
        of_positives = slots.index_add(0, pools[positions], one.expand(positions.shape))
        is_used = slots.index_fill(0, pools, 1)
        sizes = read_on_host([is_used.sum(), *of_positives.unbind()])
        return cls(pools, [int(each) for each in sizes[1:]], int(sizes[0]))

    def sort(self, positions: Tensor, logits: Tensor) -> Tensor:
        """Order [P] of the positives: by pool, then by ascending logit, then as in the list."""
        order = torch.sort(logits, stable=True).indices
        if self.index is None:
            return order
        return order[torch.sort(self.index[positions[order]], stable=True).indices]
