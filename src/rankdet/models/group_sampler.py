"""Batches of images of one orientation, as mmdet 1 and 2 made them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler

from rankdet.errors import InputError


@DATA_SAMPLERS.register_module()
class GroupBatchSampler(BatchSampler):
    """Shuffled batches of whole groups; the images of a group share an orientation.

    A group is what one GPU of the official run saw in a step, so that a ranking pool has one
    orientation. The images of each orientation are shuffled and filled up with repeated ones until
    they make whole steps; then the groups are shuffled. The order depends on seed and epoch alone,
    and is the same for any number of processes. With seed 0 it is that of mmdet 2's
    DistributedGroupSampler, of version 2.8.

    mmdet 3.3's AspectRatioBatchSampler makes a smaller last batch and one of both orientations in
    each epoch, and counts square images as wide.

    Args:
        sampler: mmengine's; its data set, seed, epoch, rank and world size count, not its order.
        batch_size: images of this process and step.
        group_images: images of one group; None takes ``batch_size``.
        by_orientation: False puts images of any orientation into a group.
    """

    sampler: DefaultSampler

    def __init__(
        self,
        sampler: DefaultSampler,
        batch_size: int,
        group_images: int | None = None,
        by_orientation: bool = True,
    ) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = False
        self.group_images = group_images or batch_size
        if batch_size % self.group_images:
            raise InputError(
                f"a batch of whole groups of {self.group_images} images",
                f"{batch_size} images",
                "choose another number of processes",
            )
        dataset = sampler.dataset
        wide = np.array([_is_wide(dataset.get_data_info(row)) for row in range(len(dataset))])
        if not by_orientation:
            wide[:] = False
        parts = (np.flatnonzero(~wide), np.flatnonzero(wide))
        self._parts = [part for part in parts if len(part)]
        step = batch_size * sampler.world_size
        self._filled = [math.ceil(len(part) / step) * step for part in self._parts]
        self._steps = sum(self._filled) // step

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator("cpu")
        generator.manual_seed(self.sampler.seed + self.sampler.epoch)
        rows = []
        for part, count in zip(self._parts, self._filled, strict=True):
            shuffled = part[_order(len(part), generator)]
            rows.append(np.resize(shuffled, count))  # repeats it from its start
        groups = np.concatenate(rows).reshape(-1, self.group_images)
        groups = groups[_order(len(groups), generator)]
        # One official GPU after the other took its groups in a row.
        by_gpu = groups.reshape(-1, self._steps, self.group_images)
        own = self.batch_size // self.group_images
        first = self.sampler.rank * own
        for step in range(self._steps):
            yield by_gpu[first : first + own, step].flatten().tolist()


def _is_wide(info: dict) -> bool:
    return info["width"] > info["height"]


def _order(count: int, generator: torch.Generator) -> np.ndarray:
    # On the CPU, where the generator is, whatever the default device.
    return torch.randperm(count, generator=generator, device="cpu").numpy()
