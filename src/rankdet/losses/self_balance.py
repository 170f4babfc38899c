"""Weights of localization losses: aLRP's self-balancing, Rank & Sort's scaling to a value.

aLRP: Oksuz et al., A Ranking-based, Balanced Loss Function, NeurIPS 2020, section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rankdet.losses._checks import check_count, check_setting


def scale_to_value(loss: Tensor, value: Tensor) -> Tensor:
    """Scale ``loss`` by a number so that its value becomes ``value``.

    The weight of the box and mask losses of Rank & Sort (Oksuz et al., ICCV 2021, section 3.4). The
    official code divides by ``loss``; a loss of exactly 0 stays 0 here.

    Args:
        loss: scalar, with its graph.
        value: scalar; no gradient reaches it.

    Returns:
        Scalar of the value of ``value``, with the graph of ``loss``.

    Example:
        >>> import torch
        >>> from rankdet.losses import scale_to_value
        >>> box = torch.tensor(0.2, requires_grad=True)
        >>> scaled = scale_to_value(box, torch.tensor(0.8))
        >>> scaled.backward()
        >>> round(scaled.item(), 4), round(box.grad.item(), 4)
        (0.8, 4.0)
    """
    number = loss.detach()
    scale = torch.where(number == 0, 0.0, value.detach() / number)
    return loss * scale


class ExactBuffers(nn.Module):
    """Base of modules that count and sum over many steps.

    ``model.half()`` casts every buffer of a model. A sum in float16 stops growing at 2048 times its
    summands, in bfloat16 at 256 times. So the buffers of a subclass keep the data type and the
    digits they have, and only follow the device.
    """

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ExactBuffers:
        before = dict(self.named_buffers(recurse=False))
        cast: Callable[..., Any] = super()._apply
        cast(fn, recurse)
        for name, after in list(self.named_buffers(recurse=False)):
            if after.dtype != before[name].dtype:
                # The cast has lost digits: take them from before it.
                self._buffers[name] = before[name].to(after.device)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        before = dict(self.named_buffers(recurse=False))
        super()._load_from_state_dict(*args, **kwargs)
        # With assign=True a buffer has the data type of the checkpoint.
        for name, after in list(self.named_buffers(recurse=False)):
            self._buffers[name] = after.to(before[name].dtype)


class SelfBalance(ExactBuffers):
    """Weight of the localization loss: (mean localization + mean classification) / localization.

    The weight starts at ``initial`` and is set anew after every ``period`` counted steps, from the
    unweighted values of those steps; it applies to the step that completes the period already.
    A step of several parts (passes or ranks) counts once, with the mean of its parts with
    positives, and the new weight applies to the step after it: its first parts cannot know the
    values of the last. So the state does not depend on how a step is divided.

    Args:
        period: counted steps between two changes; 3665 in the published setup (one epoch of
            117 266 images at 32 a step). Choose iterations per epoch.
        initial: weight until the first change.
        passes: calls of `update` that make one step (`rankdet train --passes`).
        reduce: average the values over the ranks of torch.distributed at every step, so that all
            ranks hold the same weight. The published code does not: each process keeps its own.

    Attributes:
        weight, classification_sum, localization_sum, steps: buffers, in the state dict. They stay
            float64 (and int64) when the model is cast, as by ``model.half()``.

    Raises:
        InputError: for a period or passes that are no whole numbers >= 1, or an initial weight that
            is no finite number >= 0.

    Example:
        >>> import torch
        >>> from rankdet.losses import SelfBalance
        >>> balance = SelfBalance(period=2)
        >>> for classification, localization in ((0.9, 0.3), (0.6, 0.2)):
        ...     parts = torch.tensor(classification), torch.tensor(localization)
        ...     print(round(balance.update(*parts).item(), 4))
        50.0
        4.0
    """

    weight: Tensor
    classification_sum: Tensor
    localization_sum: Tensor
    steps: Tensor
    _parts: Tensor

    def __init__(
        self, period: int, initial: float = 50.0, *, passes: int = 1, reduce: bool = False
    ) -> None:
        super().__init__()
        self.period = check_count("a period of >= 1 steps", period, "use iterations per epoch")
        self.initial = check_setting(
            "initial", initial, zero_allowed=True, fix="the published value is 50"
        )
        self.passes = check_count("passes >= 1", passes, "1 is a step in one call")
        self.reduce = reduce
        double = torch.float64
        self.register_buffer("weight", torch.tensor(self.initial, dtype=double))
        self.register_buffer("classification_sum", torch.tensor(0.0, dtype=double))
        self.register_buffer("localization_sum", torch.tensor(0.0, dtype=double))
        self.register_buffer("steps", torch.tensor(0, dtype=torch.int64))
        # Of the current step; zeros between two steps, where states are saved.
        self.register_buffer("_parts", torch.zeros(3, dtype=double), persistent=False)
        self._passed = 0

    def fresh(self) -> SelfBalance:
        """Return one with the same settings that has not counted yet, on the CPU."""
        return SelfBalance(self.period, self.initial, passes=self.passes, reduce=self.reduce)

    @torch.no_grad()
    def update(
        self,
        classification: Tensor,
        localization: Tensor,
        *,
        has_positives: bool | Tensor | None = None,
    ) -> Tensor:
        """Count one step, or one of its passes; return the weight for it.

        Args:
            classification: the unweighted value of the step, scalar.
            localization: likewise.
            has_positives: whether the step counts; by default whether either value is not 0
                (both are exactly 0 in a step without positives).

        Returns:
            The weight of the localization loss in this step, scalar.
        """
        step = torch.stack((classification, localization)).detach().to(self.weight)
        if has_positives is None:
            has_positives = (step != 0).any()
        counted = torch.as_tensor(has_positives, device=step.device).to(step.dtype)
        part = torch.cat((step * counted, counted[None]))
        is_shared = self.reduce and dist.is_available() and dist.is_initialized()
        if is_shared:
            dist.all_reduce(part)
        before = self.weight.clone()
        self._parts += part
        self._passed += 1
        if self._passed == self.passes:
            self._count()
        is_divided = self.passes > 1 or (is_shared and dist.get_world_size() > 1)
        return (before if is_divided else self.weight).to(localization.dtype)

    def _count(self) -> None:
        count = self._parts[2].clamp(min=1)
        self.classification_sum += self._parts[0] / count
        self.localization_sum += self._parts[1] / count
        self.steps += self._parts[2] > 0
        self._parts.zero_()
        self._passed = 0
        self._renew()

    def _renew(self) -> None:
        # torch.where instead of `if`: no host synchronisation on a GPU.
        is_due = self.steps >= self.period
        total = self.classification_sum + self.localization_sum
        renewed = torch.where(self.localization_sum > 0, total / self.localization_sum, self.weight)
        self.weight.copy_(torch.where(is_due, renewed, self.weight))
        for record in (self.classification_sum, self.localization_sum, self.steps):
            record.masked_fill_(is_due, 0)
