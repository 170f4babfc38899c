"""One training step, in one pass or several, checked for numbers that are not finite.

A pass sees whole ranking pools, as a process of its own would; the gradients add up, and the
optimizer steps once. Schedules, records and checkpoints count steps: they do not change. What a
stock loss divides by (mmdet averages it over the processes) is that of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from rankdet.training.finite import FiniteGuard
from rankdet.training.processes import rank
from rankdet.training.randomness import STEP, seed_libraries


class TrainingStep:
    """What a training does with a batch, where mmengine calls ``model.train_step``.

    Args:
        model: a detector, or mmengine's wrapper around one for several processes.
        passes: of a step; divides the images of a batch of this process.
        seed: of the run. Each pass draws numbers of its own: those of iteration and share, which
            is the pass's place among all passes of all processes.
        iteration: tells which one begins, from 0.
    """

    def __init__(
        self,
        model: nn.Module,
        passes: int = 1,
        seed: int = 0,
        iteration: Callable[[], int] = lambda: 0,
    ) -> None:
        self.model, self.passes, self.seed, self.iteration = model, passes, seed, iteration
        self.detector = getattr(model, "module", model)
        self.guard = FiniteGuard(self.detector)

    def __call__(self, data: dict[str, list], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Step once down the gradient of a batch; return its loss terms.

        Raises:
            NotFiniteError: if NaN or inf is met; the weights have then not moved, unless the
                optimizer itself made it.
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
        """Let processes exchange gradients once, when those of the last pass are added."""
        is_silent = self.detector is not self.model and index < self.passes - 1
        return self.model.no_sync() if is_silent else nullcontext()


def _parts(data: dict[str, list], count: int) -> Iterator[dict[str, list]]:
    if count == 1:
        yield data
        return
    size = len(data["inputs"]) // count
    for start in range(0, size * count, size):
        yield {name: values[start : start + size] for name, values in data.items()}
