"""The common frame of AP, aLRP and Rank & Sort Loss: error-driven updates of one ranking.

At the end: what all losses share, operators for torch.compile and the base of the modules.

The gradients of these losses are not derivatives of their values. Each loss is a rule: from the
positives and their FP_i it gives the value, what each positive receives, and a coefficient c_i, of
which negative j receives Sum_i c_i H(s_j - p_i). The rules stand in ap.py, alrp.py and
rank_sort.py; sorting the positives and the way back to the flat list are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class _Kept:
    """What an autograd.Function keeps, without autograd."""

    saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Nothing to mark."""


class LossOperator:
    """A loss as an operator of torch.library, for torch.compile with ``fullgraph=True``.

    A compiler cannot trace a loss: shapes depend on the number of positives, and gradients are not
    derivatives of the values. As an operator it is one node of the graph, which runs the same code
    as without a compiler: the bits are the same. Between forward and backward the graph keeps the
    inputs alone, whose sizes it knows, so the backward operator computes the forward once more.
    Outside of a compiler the losses do not pass here: it would cost time.

    Args:
        name: of the operator, in the namespace ``rankdet``.
        schema: of its arguments, the tensors with a gradient first.
        function: the autograd.Function of the loss.
        prepare: the arguments of ``function.forward`` from those of the operator; checks values.
        fake: empty outputs from the arguments of the operator, in order.
        inputs: how many arguments have a gradient.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        function: Any,
        prepare: Callable[..., tuple[Any, ...]],
        fake: Callable[..., Sequence[Tensor]],
        inputs: int = 1,
    ) -> None:
        self.function, self.prepare, self.fake, self.inputs = function, prepare, fake, inputs
        self.forward: Any = torch.library.custom_op(
            f"rankdet::{name}", self._forward, mutates_args=(), schema=f"({schema}) -> Tensor[]"
        )
        self.forward.register_fake(lambda *given: list(fake(*given)))
        self.backward: Any = torch.library.custom_op(
            f"rankdet::{name}_backward",
            self._backward,
            mutates_args=(),
            schema=f"({schema}, Tensor[] incoming) -> Tensor[]",
        )
        self.backward.register_fake(
            lambda *given: [torch.empty_like(each) for each in given[:inputs]]
        )
        self.forward.register_autograd(self._autograd, setup_context=self._keep)

    def __call__(self, *given: Any) -> list[Tensor]:
        """Return the outputs of the loss."""
        outputs: list[Tensor] = self.forward(*given)
        return outputs

    def _forward(self, *given: Any) -> list[Tensor]:
        outputs = self.function.forward(_Kept(), *self.prepare(*given))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return list(outputs[: len(self.fake(*given))])

    def _backward(self, *given: Any) -> list[Tensor]:
        *given, incoming = given  # type: ignore[assignment]
        kept = _Kept()
        self.function.forward(kept, *self.prepare(*given))
        return list(self.function.backward(kept, *incoming)[: self.inputs])

    def _keep(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.is_tensor = [isinstance(each, Tensor) for each in inputs]
        ctx.others = [each for each in inputs if not isinstance(each, Tensor)]
        ctx.save_for_backward(*(each for each in inputs if isinstance(each, Tensor)))

    def _autograd(self, ctx: Any, incoming: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
        tensors, others = iter(ctx.saved_tensors), iter(ctx.others)
        given = [next(tensors) if is_tensor else next(others) for is_tensor in ctx.is_tensor]
        found = [
            torch.zeros_like(empty) if each is None else each
            for each, empty in zip(incoming, self.fake(*given), strict=True)
        ]
        gradients: list[Tensor] = self.backward(*given, found)
        return *gradients, *[None] * (len(given) - self.inputs)


def one_value(logits: Tensor, *others: Any) -> list[Tensor]:
    """An empty value of a loss."""
    return [logits.new_empty((), dtype=value_dtype(logits))]


def two_values(logits: Tensor, *others: Any) -> list[Tensor]:
    """Empty values of a loss with two parts."""
    return one_value(logits) + one_value(logits)


class LossModule(nn.Module):
    """A loss with fixed settings; no parameters, no state."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings

    def extra_repr(self) -> str:
        """Return the settings as they are written in a call."""
        return ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
