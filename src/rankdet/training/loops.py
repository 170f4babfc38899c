"""mmengine's two training loops, resumable at any step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop

from rankdet.training.record import validated
from rankdet.training.samples import loader_from


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
