"""The images of a training in order, each with its own random numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, Dataset

from rankdet.training.randomness import SAMPLE, seeded


class Position(NamedTuple):
    """A sample's position in a training.

    Attributes:
        row: of the data set.
        epoch: from 0; 0 in a training that counts iterations.
        step: of the epoch.
        slot: index among the images of the step, over all processes.
    """

    row: int
    epoch: int
    step: int
    slot: int


class PlacedSamples(Dataset):
    """A data set whose augmentations depend only on seed and position."""

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: Position) -> dict[str, Any]:
        with seeded(self.seed, SAMPLE, position.epoch, position.step, position.slot):
            return self.dataset[position.row]


class PlacedBatches:
    """Batches of rows as batches of positions, without those before ``first``.

    Args:
        batches: the rows of this process, step by step.
        epoch: of these batches.
        first: the first step; earlier images are not loaded.
        slot: of the first image of this process in a step.
    """

    def __init__(self, batches: Iterable[list[int]], epoch: int, first: int, slot: int) -> None:
        self.batches, self.epoch, self.first, self.slot = batches, epoch, first, slot

    def __iter__(self) -> Iterator[list[Position]]:
        for step, rows in islice(enumerate(self.batches), self.first, None):
            yield [
                Position(row, self.epoch, step, self.slot + index) for index, row in enumerate(rows)
            ]


class EndlessBatches:
    """Batches of an infinite sampler; each process gets consecutive images of a step.

    mmengine's own loader distributes the images round-robin, so that the ranking pools would depend
    on the number of processes.
    """

    def __init__(self, sampler: InfiniteSampler, batch_size: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size

    def __iter__(self) -> Iterator[list[int]]:
        rows = self.sampler._infinite_indices()
        first = self.sampler.rank * self.batch_size
        while True:
            step = list(islice(rows, self.batch_size * self.sampler.world_size))
            yield step[first : first + self.batch_size]


def loader_from(own: DataLoader, seed: int, rank: int, epoch: int, first: int) -> DataLoader:
    """Return a loader of the batches of ``own`` from step ``first`` of an epoch.

    Args:
        own: as mmengine built it.
        seed: of the run.
        rank: of this process.
        epoch: from 0.
        first: step of the epoch.
    """
    sampler = own.sampler
    batches: Any = own.batch_sampler
    size = batches.batch_size
    if isinstance(sampler, InfiniteSampler):
        batches = EndlessBatches(sampler, size)
    return DataLoader(
        PlacedSamples(own.dataset, seed),
        batch_sampler=PlacedBatches(batches, epoch, first, rank * size),
        num_workers=own.num_workers,
        collate_fn=own.collate_fn,
        pin_memory=own.pin_memory,
        worker_init_fn=own.worker_init_fn,
        timeout=own.timeout,
        prefetch_factor=own.prefetch_factor,
        # Each iterator draws a number, which must not come from the process's own generator.
        generator=torch.Generator().manual_seed(seed),
    )
