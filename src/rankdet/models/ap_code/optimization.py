"""Optimizer and warm-up that skip steps whose loss is exactly 0."""

from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS
from torch import Tensor


@OPTIM_WRAPPERS.register_module()
class NonZeroOptimWrapper(OptimWrapper):
    """mmengine's wrapper, which does not change the model where the loss of all ranks is 0.

    Otherwise weight decay and momentum would move it. One host synchronization a step, which may
    consist of several calls of `backward` (`rankdet train --passes`).

    Attributes:
        was_skipped: whether the last step changed nothing.
    """

    was_skipped = False
    _total: Tensor | None = None

    def backward(self, loss: Tensor, **kwargs) -> None:
        """Add the gradient of ``loss``."""
        size = loss.detach().abs().sum()
        self._total = size if self._total is None else self._total + size
        super().backward(loss, **kwargs)

    def step(self, **kwargs) -> None:
        """Step down the gradient, unless the losses behind it are 0 on every rank."""
        total, self._total = self._total, None
        if total is not None and dist.is_available() and dist.is_initialized():
            dist.all_reduce(total)
        self.was_skipped = total is not None and bool(torch.eq(total, 0))
        if not self.was_skipped:
            super().step(**kwargs)


@PARAM_SCHEDULERS.register_module()
class CountedLinearLR(LinearLR):
    """mmengine's linear warm-up, counted in steps that were taken."""

    def step(self) -> None:
        """Advance, unless the optimizer skipped the step."""
        if not getattr(self.optimizer, "was_skipped", False):
            super().step()
