"""mmengine's two training loops, resumable at any step, and the images they take.

Random numbers depend on the position in a training, not on earlier ones: a resumed training draws
the same numbers as an uninterrupted one, with any number of loading processes and for any division
of a step's images among processes and passes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader, Dataset

from rankdet.training.record import validated


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


STEP, SAMPLE = 0, 1  # purpose of the numbers: the first element of a key


def seed_libraries(*key: int) -> None:
    """Seed Python, NumPy and PyTorch (its devices too) from a tuple of numbers >= 0."""
    words = _words(key)
    _seed_python(words)
    torch.manual_seed(_torch_seed(words))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed the CPU's generators from ``key`` for the body, then restore their state."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = _words(key)
    _seed_python(words)
    torch.default_generator.manual_seed(_torch_seed(words))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _words(key: tuple[int, ...]) -> np.ndarray:
    # NumPy's hash of its entropy: keys that differ in one number give unrelated streams.
    return np.random.SeedSequence(key).generate_state(8)


def _seed_python(words: np.ndarray) -> None:
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:6])


def _torch_seed(words: np.ndarray) -> int:
    return int(words[6]) << 31 | int(words[7]) >> 1


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Epochs; a resume may start in the middle of one, without loading the earlier images."""

    def run_epoch(self) -> None:
        """Run one epoch, or the rest of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        first = self._iter - self._epoch * len(self.dataloader)
        loader = loader_from(self.dataloader, self.runner.seed, get_rank(), self._epoch, first)
        for step, batch in enumerate(loader, first):
            self.run_iter(step, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Run one iteration."""
        _step(self, idx, data_batch)

    def is_validation_due(self) -> bool:
        """Tell whether a validation is due after the current iteration."""
        ended = self._iter == self._epoch * len(self.dataloader)
        return ended and _is_due(self, self._epoch, self._max_epochs)


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """Iterations; those before a resume are skipped without loading their images."""

    def __init__(
        self, runner: Any, dataloader: Any, max_iters: int, val_begin: int = 1, val_interval=1000
    ) -> None:
        # Not the parent's, which starts data loading before the first iteration is known.
        BaseLoop.__init__(self, runner, dataloader)
        self._max_iters, self._max_epochs = max_iters, 1
        self._epoch = self._iter = 0
        self.val_begin, self.val_interval = val_begin, val_interval
        self.stop_training = False

    def run(self) -> Any:
        """Run the remaining iterations."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter < self._max_iters:
            loader = loader_from(self.dataloader, self.runner.seed, get_rank(), 0, self._iter)
            for batch in loader:
                self.runner.model.train()
                self.run_iter(batch)
                if self.is_validation_due():
                    self.runner.val_loop.run()
                if self._iter >= self._max_iters or self.stop_training:
                    break
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: dict[str, Any]) -> None:
        """Run one iteration."""
        _step(self, self._iter, data_batch)

    def is_validation_due(self) -> bool:
        """Tell whether a validation is due after the current iteration."""
        return _is_due(self, self._iter, self._max_iters)


def _step(loop: Any, index: int, batch: dict[str, Any]) -> None:
    """Run one iteration with our own step instead of the model's ``train_step``."""
    runner = loop.runner
    runner.call_hook("before_train_iter", batch_idx=index, data_batch=batch)
    outputs = runner.training_step(batch, runner.optim_wrapper)
    runner.call_hook("after_train_iter", batch_idx=index, data_batch=batch, outputs=outputs)
    loop._iter += 1


def _is_due(loop: Any, count: int, last: int) -> bool:
    is_turn = count % loop.val_interval == 0 or count == last
    return loop.runner.val_loop is not None and count >= max(1, loop.val_begin) and is_turn


class DueValidation(Hook):
    """Run a validation that was due when the training stopped, after the resume.

    Args:
        path: the training's record, which shows whether it was done.
    """

    priority = "LOWEST"

    def __init__(self, path: Path) -> None:
        self.path = path

    def before_train(self, runner: Any) -> None:
        """Run the validation if it is due and was not done."""
        if runner.train_loop.is_validation_due() and runner.iter not in validated(self.path):
            runner.val_loop.run()
