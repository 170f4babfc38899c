"""Stop before the queue's limit, with a checkpoint, and go on from the middle of an epoch."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS, LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from rankdet.cluster.queue import seconds_left
from rankdet.outputs import write_text
from rankdet.training.processes import is_first, said_by_first, wait, world_size
from rankdet.training.work_dir import CHECKPOINT

MARGIN = 120.0  # seconds before the limit that are kept for the checkpoint


class Interrupted(Exception):
    """The training was stopped with a checkpoint; run it again with --resume."""


@HOOKS.register_module()
class StopInTime(Hook):
    """Save a checkpoint and stop when the job's time runs out, or when a signal says so.

    SIGTERM and SIGUSR1 are what Slurm sends before it kills a job (scancel, a limit, preemption),
    SIGINT is Ctrl-C. A second Ctrl-C ends the process at once.
    """

    priority = "LOWEST"
    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self) -> None:
        self.reason = ""
        self._end = None
        self._before = {}
        self._process = os.getpid()

    def before_train(self, runner) -> None:
        """Ask Slurm how long the job may run, and listen to signals."""
        left = seconds_left()
        if left is not None:
            self._end = time.monotonic() + left - min(MARGIN, left / 10)
        self._process = os.getpid()
        for number in self.SIGNALS:
            if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue  # a command in the background is not meant by Ctrl-C
            self._before[number] = signal.signal(number, self._told)

    def after_train(self, runner) -> None:
        """Give the signals back."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _told(self, number, frame) -> None:
        # Loading processes inherit this: they go on, so that the iteration can end.
        if number == signal.SIGINT and self.reason and os.getpid() == self._process:
            self.after_train(None)
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Stop all processes at the same iteration."""
        if self._end is not None and time.monotonic() > self._end:
            self.reason = self.reason or "the job's time limit"
        # Agreeing costs a message; now and then is often enough.
        if world_size() > 1 and (runner.iter + 1) % 10 and runner.iter + 1 != runner.max_iters:
            return
        reason = said_by_first(self.reason)
        if not reason or runner.iter + 1 == runner.max_iters:
            return
        self._save(runner)
        self.after_train(runner)
        raise Interrupted(f"{reason}: saved at iteration {runner.iter + 1} of {runner.max_iters}")

    def _save(self, runner) -> None:
        folder = Path(runner.work_dir)
        name = f"stopped_{runner.iter + 1}.pth"
        runner.save_checkpoint(str(folder), name, by_epoch=False)
        if is_first():
            # Only when the new one is whole is it the one to go on from, and the old one gone.
            write_text(folder / "last_checkpoint", name)
            for path in folder.glob("stopped_*.pth"):
                if path.name != name and CHECKPOINT.fullmatch(path.name):
                    path.unlink()
        wait()  # the launcher ends the others when the first one has ended


class LaterBatches:
    """A batch sampler without its first batches."""

    def __init__(self, batches, first: int) -> None:
        self.batches, self.first = batches, first

    def __iter__(self):
        for index, batch in enumerate(self.batches):
            if index >= self.first:
                yield batch

    def __len__(self) -> int:
        return len(self.batches) - self.first


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop, which would begin an epoch anew that was stopped in its middle.

    The order of an epoch depends on its number and the seed alone, so that the images before the
    stop are left out without being loaded.
    """

    def run_epoch(self) -> None:
        """Run one epoch, or the rest of one."""
        done = self._iter - self._epoch * len(self.dataloader)
        if done <= 0:
            super().run_epoch()
            return
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        own = self.dataloader
        rest = DataLoader(
            own.dataset,
            batch_sampler=LaterBatches(own.batch_sampler, done),
            num_workers=own.num_workers,
            collate_fn=own.collate_fn,
            pin_memory=own.pin_memory,
            worker_init_fn=own.worker_init_fn,
        )
        for index, batch in enumerate(rest, done):
            self.run_iter(index, batch)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
