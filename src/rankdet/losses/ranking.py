"""The common frame of AP, aLRP and Rank & Sort Loss: error-driven updates of one ranking.

The gradients of these losses are not derivatives of their values. Each loss is a rule: from the
positives of a pool and their FP_i it gives the value, what each positive receives, and a
coefficient c_i, of which negative j receives Sum_i c_i H(s_j - p_i). The rules stand in ap.py,
alrp.py and rank_sort.py; sorting, window sums, pools and the way back to the flat list are here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses import pairs
from rankdet.losses.devices import is_accelerator
from rankdet.losses.negatives import Negatives, negative_gradients
from rankdet.losses.pairs import PairedWindows
from rankdet.losses.pools import Pools
from rankdet.losses.sorted_points import sums_above
from rankdet.losses.window_sums import Windows


@dataclass
class Pool:
    """The positives of one pool, [P] each, in ascending order of logit.

    Attributes:
        logits: float64.
        order: position of each among all positives of the list in flat order.
        flat: position of each in the list.
        false_positives: FP_i; set by :class:`Ranking`.
        delta: half width of the window function.
    """

    logits: Tensor
    order: Tensor
    flat: Tensor
    delta: float
    false_positives: Tensor | None = None

    def positives_above(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """Sum_k w_k H(p_k - p_i), the own term k = i (H(0) = 1/2) included, per weights [P]."""
        return sums_above(self.logits, self.delta, *weights)


@dataclass
class Update:
    """What a rule gives for one pool, not yet divided by P.

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


Rule = Callable[[Pool], Update]


class Ranking:
    """A flat list of logits, ranked: positives sorted by pool and logit, negatives in segments."""

    def __init__(
        self, logits: Tensor, targets: Tensor, positions: Tensor, pools: Pools, delta: float
    ) -> None:
        of_positives = logits[positions].to(torch.float64)
        self.order = pools.sort(positions, of_positives)
        self.flat = positions[self.order]
        sizes = pools.positives
        self.pools = [
            Pool(*each, delta)
            for each in zip(
                of_positives[self.order].split(sizes),
                self.order.split(sizes),
                self.flat.split(sizes),
                strict=True,
            )
        ]
        self.windows = [_windows(pool.logits, delta) for pool in self.pools]
        self.negatives = Negatives(self.windows, logits, targets, pools.index)
        for pool, each in zip(self.pools, self.negatives.false_positives, strict=True):
            pool.false_positives = each


def _windows(positives: Tensor, delta: float) -> Windows | PairedWindows:
    if delta > 0 and pairs.suit(positives):
        return PairedWindows(positives, delta)
    return Windows(positives, delta, merge=not is_accelerator(positives))


def value_dtype(logits: Tensor) -> torch.dtype:
    """Losses come in float32, or in float64 if the logits did."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32


class _ErrorDriven(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, positions, pools, delta, rule, outputs):
        ctx.outputs, ctx.has_positives = outputs, positions.numel() > 0
        extra = logits.new_zeros(positions.numel(), dtype=torch.float64)
        ctx.mark_non_differentiable(extra)
        values = [logits.new_zeros((), dtype=torch.float64) for _ in range(outputs)]
        if not ctx.has_positives:
            ctx.save_for_backward(logits)
            return (*(each.to(value_dtype(logits)) for each in values), extra)
        ranking = Ranking(logits, targets, positions, pools, delta)
        lines, to_positives = [], []
        for pool, windows in zip(ranking.pools, ranking.windows, strict=True):
            count = pool.flat.numel()
            if count == 0:
                lines.append(windows.lines(pool.logits))
                continue
            update, share = rule(pool), 1 / (count * pools.count)
            values = [a + b * share for a, b in zip(values, update.values, strict=True)]
            lines.append(windows.lines(update.coefficients * share))
            to_positives.append(torch.stack(update.to_positives) * share)
            if update.extra is not None:
                extra[pool.order] = update.extra * share
        ctx.save_for_backward(
            logits,
            ranking.negatives.segment,
            ranking.negatives.lower_edge,
            *(torch.cat(each) for each in zip(*lines, strict=True)),
            ranking.flat,
            torch.cat(to_positives, 1),
        )
        return (*(each.to(value_dtype(logits)) for each in values), extra)

    @staticmethod
    @once_differentiable
    def backward(ctx, *incoming):
        if not ctx.has_positives:
            return torch.zeros_like(ctx.saved_tensors[0]), *[None] * 6
        logits, segment, lower_edge, values, slopes, flat, to_positives = ctx.saved_tensors
        scale = torch.stack(incoming[: ctx.outputs]).to(torch.float64)
        gradient = negative_gradients(
            logits, segment, lower_edge, values * scale[0], slopes * scale[0]
        )
        own = (to_positives * scale[:, None]).sum(0)
        gradient[flat] = own.to(gradient.dtype)
        return gradient, *[None] * 6


def error_driven_loss(
    rule: Rule,
    logits: Tensor,
    targets: Tensor,
    positions: Tensor,
    pools: Tensor | None,
    delta: float,
    outputs: int,
) -> tuple[Tensor, ...]:
    """Values of ``rule`` averaged over the pools, tied to the logits, and the extra [P]."""
    grouped = Pools.of(pools, positions)
    return _ErrorDriven.apply(logits, targets, positions, grouped, delta, rule, outputs)
