"""Stop with a checkpoint before the queue's time limit or on a signal."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from mmengine.hooks import Hook

from rankdet.cluster.slurm import seconds_left
from rankdet.training.checkpoints import Checkpoints
from rankdet.training.processes import from_first, wait, world_size

MARGIN = 120.0  # seconds before the limit that are reserved for the checkpoint


class Interrupted(Exception):
    """The training was stopped with a checkpoint; run it again with --resume."""


class StopInTime(Hook):
    """Save a checkpoint and stop when the job's time runs out or a signal arrives.

    Slurm sends SIGTERM and SIGUSR1 before it kills a job (scancel, a limit, preemption); SIGINT is
    Ctrl-C. A second Ctrl-C ends the process immediately.

    Args:
        checkpoints: writes the checkpoint.
    """

    priority = "LOWEST"
    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self.reason = ""
        self._end: float | None = None
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def before_train(self, runner) -> None:
        """Ask Slurm for the time left, and install the signal handlers."""
        left = seconds_left()
        if left is not None:
            self._end = time.monotonic() + left - min(MARGIN, left / 10)
        self._process = os.getpid()
        for number in self.SIGNALS:
            if number == signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue  # Ctrl-C is not meant for a command in the background
            self._before[number] = signal.signal(number, self._on_signal)

    def after_train(self, runner) -> None:
        """Restore the previous signal handlers."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _on_signal(self, number, frame) -> None:
        # Data-loading processes inherit this and keep running, so that the iteration can end.
        if number == signal.SIGINT and self.reason and os.getpid() == self._process:
            self.after_train(None)
            raise KeyboardInterrupt
        self.reason = signal.Signals(number).name

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Stop all processes at the same iteration."""
        if self._end is not None and time.monotonic() > self._end:
            self.reason = self.reason or "the job's time limit"
        # Agreeing needs communication, so do it only every tenth iteration.
        if world_size() > 1 and (runner.iter + 1) % 10 and runner.iter + 1 != runner.max_iters:
            return
        reason = from_first(self.reason)
        if not reason or runner.iter + 1 == runner.max_iters:
            return
        self._checkpoints.save(runner, "stopped", ended=reason)
        wait()  # the launcher kills the others when the first one has ended
        self.after_train(runner)
        raise Interrupted(f"{reason}: saved at iteration {runner.iter + 1} of {runner.max_iters}")
