"""One training step, in one or several passes, checked for NaN and inf.

A pass has complete ranking pools, like a separate process; the gradients add up, and the optimizer
steps once. Schedules, records and checkpoints count steps, so they do not change. The normalizer of
a standard loss (which mmdet averages over the processes) is computed per pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from rankdet.training.finite import FiniteGuard
from rankdet.training.processes import rank
from rankdet.training.randomness import STEP, seed_libraries
from rankdet.training.speed import detector_of


class TrainingStep:
    """The training step on a batch, used instead of mmengine's ``model.train_step``.

    Args:
        model: a detector, or mmengine's wrapper around one for several processes.
        passes: per step; must divide the images of this process's batch.
        seed: of the run. Each pass has its own random numbers, from the iteration and the index of
            the pass among all passes of all processes.
        iteration: returns the current iteration, from 0.
    """

    def __init__(
        self,
        model: nn.Module,
        passes: int = 1,
        seed: int = 0,
        iteration: Callable[[], int] = lambda: 0,
    ) -> None:
        self.model: Any = model
        self.passes, self.seed, self.iteration = passes, seed, iteration
        self.detector: Any = detector_of(model)
        self.guard = FiniteGuard(self.detector)

    def __call__(self, data: dict[str, list], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take one optimizer step on a batch; return its loss terms.

        Raises:
            NotFiniteError: on NaN or inf; the weights are then unchanged, unless it comes from the
                optimizer itself.
        """
        terms = []
        for index, part in enumerate(_parts(data, self.passes)):
            seed_libraries(self.seed, STEP, self.iteration(), rank() * self.passes + index)
            with self._silent(index):
                with optim_wrapper.optim_context(self.model):
                    batch = self.detector.data_preprocessor(part, True)
                    self.guard.check_batch(batch)
                    total, logged = self.guard.compute(self._losses, batch)
                optim_wrapper.backward(total / self.passes)
            terms.append({name: value.detach() for name, value in logged.items()})
        self.guard.check_gradient()
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        self.guard.check_weights(optim_wrapper.optimizer)
        return {name: sum(each[name] for each in terms) / self.passes for name in terms[0]}

    def _losses(self, batch: dict) -> tuple[Tensor, dict[str, Tensor]]:
        total, logged = self.detector.parse_losses(self.model._run_forward(batch, mode="loss"))
        self.guard.check_terms(logged)
        return total, logged

    def _silent(self, index: int) -> AbstractContextManager:
        """Let processes exchange gradients only once, in the last pass."""
        is_silent = self.detector is not self.model and index < self.passes - 1
        return self.model.no_sync() if is_silent else nullcontext()


def _parts(data: dict[str, list], count: int) -> Iterator[dict[str, list]]:
    if count == 1:
        yield data
        return
    size = len(data["inputs"]) // count
    for start in range(0, size * count, size):
        yield {name: values[start : start + size] for name, values in data.items()}
