"""One training step in several passes, for a GPU that does not hold all images of its step.

A pass sees whole ranking pools, as a process of its own would; the gradients add up, and the
optimiser steps once. Schedules, records and checkpoints count steps: they do not change. What a
stock loss divides by (mmdet averages it over the processes) is that of the pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

from mmengine.optim import OptimWrapper
from torch import Tensor, nn


def use_passes(model: nn.Module, count: int) -> None:
    """Make ``model.train_step`` take ``count`` passes; ``model`` may be wrapped for several ranks.

    Args:
        model: a detector, or mmengine's wrapper around one.
        count: divides the images of a batch of this process.
    """
    if count == 1:
        return
    detector = getattr(model, "module", model)

    def train_step(data: dict[str, list], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        terms = []
        for index, part in enumerate(_parts(data, count)):
            # Ranks exchange gradients once, when those of the last pass are added.
            is_silent = detector is not model and index < count - 1
            with model.no_sync() if is_silent else nullcontext():
                with optim_wrapper.optim_context(model):
                    images = detector.data_preprocessor(part, True)
                    losses = model._run_forward(images, mode="loss")
                total, logged = detector.parse_losses(losses)
                optim_wrapper.backward(total / count)
            terms.append({name: value.detach() for name, value in logged.items()})
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        return {name: sum(each[name] for each in terms) / count for name in terms[0]}

    model.train_step = train_step


def _parts(data: dict[str, list], count: int) -> Iterator[dict[str, list]]:
    size = len(data["inputs"]) // count
    for start in range(0, size * count, size):
        yield {name: values[start : start + size] for name, values in data.items()}
