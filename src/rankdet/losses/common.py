"""What the exact losses share: from flat logits to window sums and back to flat gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.losses.window_sums import NegativeSegments, Windows, negative_gradients


class Ranking:
    """One flat list of logits, ranked: positives ascending, negatives in segments.

    Attributes:
        flat: [P] flat positions of the positives, in ascending order of logit.
        order: [P] the same as positions among the positives in flat order.
        positives: [P] float64, ascending.
        false_positives: [P] FP_i.
    """

    def __init__(self, logits: Tensor, targets: Tensor, delta: float) -> None:
        in_flat_order = torch.nonzero(targets > 0).squeeze(1)
        self.positives, self.order = torch.sort(
            logits[in_flat_order].to(torch.float64), stable=True
        )
        self.flat = in_flat_order[self.order]
        self.delta = delta
        self.windows = Windows(self.positives, delta)
        negatives = NegativeSegments(self.windows, logits, targets == 0)
        self.segment, self.lower_edges = negatives.segment, negatives.lower_edges
        self.false_positives = negatives.false_positives()

    def save(self, ctx, logits: Tensor, coefficients: Tensor, *positive_gradients: Tensor) -> None:
        """Keep what the backward pass needs; coefficients are c_i / P."""
        values, slopes = self.windows.lines(coefficients)
        ctx.save_for_backward(
            logits, self.segment, self.lower_edges, values, slopes, self.flat, *positive_gradients
        )


def flat_gradient(ctx, *incoming: Tensor) -> Tensor:
    """The gradient of the logits; the first incoming gradient also scales the negatives."""
    logits, segment, lower_edges, values, slopes, flat, *positive_gradients = ctx.saved_tensors
    scale = incoming[0].double()
    gradient = negative_gradients(segment, logits, lower_edges, values * scale, slopes * scale)
    own = sum(g.double() * part for g, part in zip(incoming, positive_gradients, strict=True))
    gradient[flat] = own.to(gradient.dtype)
    return gradient


def value_dtype(logits: Tensor) -> torch.dtype:
    """Losses come in float32, or in float64 if the logits did."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


class _Zero(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        return logits.new_zeros((), dtype=value_dtype(logits))

    @staticmethod
    def backward(ctx, _incoming):
        return torch.zeros_like(ctx.saved_tensors[0])


def zero_loss(logits: Tensor) -> Tensor:
    """A zero that is tied to the logits by a graph: the loss of a list without positives."""
    return _Zero.apply(logits)
