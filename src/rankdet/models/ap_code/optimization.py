"""Steps whose loss is exactly 0 are no steps."""

from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS
from torch import Tensor


@OPTIM_WRAPPERS.register_module()
class NonZeroOptimWrapper(OptimWrapper):
    """mmengine's wrapper, which leaves the model alone where the loss of all ranks is 0.

    Otherwise weight decay and momentum would move it. One host synchronisation a step.

    Attributes:
        was_skipped: whether the last call changed nothing.
    """

    was_skipped = False

    def update_params(self, loss: Tensor, *args, **kwargs) -> None:
        """Step down the gradient of ``loss``, unless it is 0 on every rank."""
        total = loss.detach().abs().sum()
        if dist.is_available() and dist.is_initialized():
            total = total.clone()
            dist.all_reduce(total)
        self.was_skipped = bool(torch.eq(total, 0))
        if not self.was_skipped:
            super().update_params(loss, *args, **kwargs)


@PARAM_SCHEDULERS.register_module()
class CountedLinearLR(LinearLR):
    """mmengine's linear warm-up, counted in steps that were taken."""

    def step(self) -> None:
        """Advance, unless the optimizer skipped the step."""
        if not getattr(self.optimizer, "was_skipped", False):
            super().step()
