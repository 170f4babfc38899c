"""The training of the AP-Loss code base: optimizer, warm-up and aLRP's self-balance.

The balance is renewed at the end of an epoch from sampled window means.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS, PARAM_SCHEDULERS
from torch import Tensor

from rankdet.losses._checks import check_count, check_setting
from rankdet.losses.self_balance import ExactBuffers


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


class WindowedSelfBalance(ExactBuffers):
    """Weight of the localization loss: (mean localization + mean classification) / localization.

    Every ``interval`` iterations of an epoch, the first included, the mean of the last ``window``
    losses becomes an entry; at the end of the epoch the weight is set from the mean of the last
    ``entries`` of them. The window is kept across epochs, the entries are not. Iterations whose
    losses are 0 count as iterations and are left out otherwise.

    Args:
        initial: weight of the first epoch.
        window: losses that an entry averages.
        interval: iterations between two entries.
        entries: entries of an epoch that count.
        period: iterations of an epoch, in runs that do not call `end_epoch`; None: they do.
        passes: calls of `update` that make one iteration (`rankdet train --passes`). Their losses
            are averaged, so that window, interval and period count iterations as without passes.
        reduce: average the losses over the ranks of torch.distributed. The official code runs all
            GPUs in one process and averages over them.

    Attributes:
        weight, window_losses, entry_means, counted, recorded, iteration, pass_losses, passed:
            buffers, saved with the model (the official ones were lost when a run was resumed).
            They stay float64 (and int64) when the model is cast.
    """

    weight: Tensor
    window_losses: Tensor
    entry_means: Tensor
    pass_losses: Tensor
    counted: Tensor
    recorded: Tensor
    iteration: Tensor
    passed: Tensor

    def __init__(
        self,
        initial: float = 50.0,
        window: int = 300,
        interval: int = 50,
        entries: int = 50,
        period: int | None = None,
        *,
        passes: int = 1,
        reduce: bool = False,
    ) -> None:
        super().__init__()
        counts = {"window": window, "interval": interval, "entries": entries, "passes": passes}
        default = "the published value is its default"
        counts = {
            name: check_count(f"{name} >= 1", value, default) for name, value in counts.items()
        }
        initial = check_setting("initial", initial, zero_allowed=True, fix=default)
        if period is not None:
            period = check_count("a period of >= 1 steps", period, "use iterations per epoch")
        self.settings: dict[str, Any] = {
            **counts,
            "initial": initial,
            "period": period,
            "reduce": reduce,
        }
        self.interval = counts["interval"]
        self.period = period
        self.passes = counts["passes"]
        self.reduce = reduce
        double: dict[str, Any] = {"dtype": torch.float64}
        self.register_buffer("weight", torch.tensor(initial, **double))
        self.register_buffer("window_losses", torch.zeros(2, counts["window"], **double))
        self.register_buffer("entry_means", torch.zeros(2, counts["entries"], **double))
        self.register_buffer("pass_losses", torch.zeros(2, **double))
        for name in ("counted", "recorded", "iteration", "passed"):
            self.register_buffer(name, torch.zeros(1, dtype=torch.int64))

    def fresh(self) -> WindowedSelfBalance:
        """Return one with the same settings that has not counted yet, on the CPU."""
        return WindowedSelfBalance(**self.settings)

    @torch.no_grad()
    def update(
        self, classification: Tensor, localization: Tensor, *, has_positives: bool | None = None
    ) -> Tensor:
        """Count one pass; return the weight [scalar] for it.

        Args:
            classification: unweighted value of the pass, scalar.
            localization: unweighted value of the pass, scalar.
            has_positives: not needed; an iteration counts if either value is not 0.
        """
        if self.period is not None:
            self._renew(self.iteration >= self.period)
        losses = torch.stack((classification, localization)).detach().float()
        if self.reduce and dist.is_available() and dist.is_initialized():
            dist.all_reduce(losses)
            losses = losses / dist.get_world_size()
        self.pass_losses += losses.double() / self.passes
        self.passed += 1
        is_last = self.passed == self.passes
        counts = is_last & (self.pass_losses != 0).any()
        self._put(self.window_losses, self.counted, self.pass_losses, counts)
        filled = self.counted.clamp(1, self.window_losses.shape[1])
        is_due = counts & (self.iteration % self.interval == 0)
        self._put(self.entry_means, self.recorded, self.window_losses.sum(1) / filled, is_due)
        self.iteration += is_last
        self.passed.masked_fill_(is_last, 0)
        self.pass_losses.masked_fill_(is_last, 0)
        return self.weight.to(localization.dtype)

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Set the weight from the entries of the epoch that ends here."""
        self._renew(torch.ones_like(self.iteration, dtype=torch.bool))

    def _put(self, ring: Tensor, count: Tensor, values: Tensor, where: Tensor) -> None:
        # Masked writes instead of `if`: no host synchronization on a GPU.
        slot = count % ring.shape[1]
        kept = ring.index_select(1, slot)
        ring.index_copy_(1, slot, torch.where(where, values[:, None], kept))
        count += where

    def _renew(self, is_due: Tensor) -> None:
        classification, localization = self.entry_means.sum(1)
        renewed = (localization + classification) / localization
        has_entries = is_due & (localization > 0)
        self.weight.copy_(torch.where(has_entries, renewed, self.weight)[0])
        self.entry_means.masked_fill_(is_due, 0)
        self.recorded.masked_fill_(is_due, 0)
        self.iteration.masked_fill_(is_due, 0)


@HOOKS.register_module()
class RenewSelfBalance(Hook):
    """Tell every `WindowedSelfBalance` of the model that an epoch ends, before it is saved."""

    def after_train_epoch(self, runner) -> None:
        """Renew the weights, unless they count the epochs of an iteration-based run themselves."""
        for module in runner.model.modules():
            if isinstance(module, WindowedSelfBalance) and module.period is None:
                module.end_epoch()
