"""The losses as operators of torch.library, for torch.compile with ``fullgraph=True``.

A compiler cannot trace a loss: shapes depend on the number of positives, and gradients are not
derivatives of the values. As an operator it is one node of the graph, which runs the same code as
without a compiler: values and gradients have the same bits. Between forward and backward the
compiled graph keeps the inputs alone, whose sizes it knows. So the backward operator computes the
forward pass once more.

Outside of a compiler the losses do not pass here: an operator costs about 60 microseconds a call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rankdet.losses._ranking import value_dtype


class _Kept:
    """What an autograd.Function keeps, without autograd."""

    saved_tensors: tuple[Tensor, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        self.saved_tensors = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Nothing to mark."""


class LossOperator:
    """A loss as an operator with fake kernel and gradient.

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


def is_compiling() -> bool:
    """Whether a compiler is tracing the call."""
    return torch.compiler.is_compiling()
