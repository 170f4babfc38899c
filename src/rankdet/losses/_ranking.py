"""The common frame of AP, aLRP and Rank & Sort Loss: error-driven updates of one ranking.

The gradients of these losses are not derivatives of their values. Each loss is a rule: from the
positives and their FP_i it gives the value, what each positive receives, and a coefficient c_i, of
which negative j receives Sum_i c_i H(s_j - p_i). The rules stand in ap.py, alrp.py and
rank_sort.py; sorting the positives and the way back to the flat list are here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rankdet.losses._windows import Negatives, Windows, negative_gradients, sums_above


class Ranking:
    """A ranked list: its positives [P] in ascending order of logit, its negatives in segments.

    Args:
        logits, targets: [n].
        positions: of the positives [P], at least one.
        delta: half width of the window function.

    Attributes:
        logits: of the positives, float64.
        order: position of each among all positives in flat order.
        flat: position of each in the list.
        false_positives: FP_i of each.
        windows, negatives: the segments, and where the negatives lie in them.
    """

    def __init__(self, logits: Tensor, targets: Tensor, positions: Tensor, delta: float) -> None:
        self.delta = delta
        self.logits, self.order = torch.sort(logits[positions].to(torch.float64), stable=True)
        self.flat = positions[self.order]
        self.windows = Windows(self.logits, delta)
        self.negatives = Negatives(self.windows, logits, targets)
        self.false_positives = self.negatives.false_positives

    def positives_above(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """Sum_k w_k H(p_k - p_i), the own term k = i (H(0) = 1/2) included, per weights [P]."""
        return sums_above(self.logits, self.delta, *weights)


@dataclass
class Update:
    """What a rule gives, not yet divided by P.

    Attributes:
        values: sum over the positives, one number per output of the loss.
        to_positives: [P] per output, the gradient of the positives.
        coefficients: [P], c_i >= 0, for the first output.
        extra: [P], passed through to the caller in flat order, divided by P.
    """

    values: tuple[Tensor, ...]
    to_positives: tuple[Tensor, ...]
    coefficients: Tensor
    extra: Tensor | None = None


Rule = Callable[[Ranking], Update]


def value_dtype(logits: Tensor) -> torch.dtype:
    """Losses come in float32, or in float64 if the logits did."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


class ErrorDriven(torch.autograd.Function):
    """The values of a rule over the positives, and the extra [P] in flat order."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        targets: Tensor,
        positions: Tensor,
        delta: float,
        rule: Rule,
        outputs: int,
    ) -> tuple[Tensor, ...]:
        count = positions.numel()
        ctx.outputs, ctx.has_positives = outputs, count > 0
        extra = logits.new_zeros(count, dtype=torch.float64)
        ctx.mark_non_differentiable(extra)
        if count == 0:
            ctx.save_for_backward(logits)
            zero = logits.new_zeros((), dtype=value_dtype(logits))
            return (*(zero.clone() for _ in range(outputs)), extra)
        ranking = Ranking(logits, targets, positions, delta)
        update, share = rule(ranking), 1 / count
        if update.extra is not None:
            extra[ranking.order] = update.extra * share
        ctx.save_for_backward(
            logits,
            ranking.negatives.segment,
            ranking.negatives.lower_edge,
            *ranking.windows.lines(update.coefficients * share),
            ranking.flat,
            torch.stack(update.to_positives) * share,
        )
        return (*((value * share).to(value_dtype(logits)) for value in update.values), extra)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.has_positives:
            return torch.zeros_like(ctx.saved_tensors[0]), *[None] * 5
        logits, segment, lower_edge, values, slopes, flat, to_positives = ctx.saved_tensors
        scale = torch.stack(incoming[: ctx.outputs]).to(torch.float64)
        gradient = negative_gradients(
            logits, segment, lower_edge, values * scale[0], slopes * scale[0]
        )
        own = (to_positives * scale[:, None]).sum(0)
        gradient[flat] = own.to(gradient.dtype)
        return gradient, *[None] * 5


_apply: Callable[..., tuple[Tensor, ...]] = ErrorDriven.apply


def error_driven_loss(
    logits: Tensor, targets: Tensor, positions: Tensor, delta: float, rule: Rule, outputs: int
) -> tuple[Tensor, ...]:
    """Values of ``rule`` over the positives, tied to the logits, and the extra [P]."""
    return _apply(logits, targets, positions, delta, rule, outputs)


class LossModule(nn.Module):
    """A loss with fixed settings; no parameters, no state."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def extra_repr(self) -> str:
        """Return the settings as they are written in a call."""
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
