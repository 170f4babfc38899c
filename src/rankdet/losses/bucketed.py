"""Bucketed Ranking-based Losses (Yavuz et al., ECCV 2024): the published approximation.

Positives and relevant negatives are sorted together; each run of negatives between two positives
is one bucket, which stands for its members with its mean logit and its size. H is not linear over
a bucket that reaches past a window edge, so this is not exact (the exact losses are faster, too).
It is here, as published, for the rows of that paper: joint sort, then all buckets x positives. Only
the memory differs: the matrix is made in blocks of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses._checks import check_delta, check_eps, check_inputs, read_values
from rankdet.losses._devices import positions_of, read_on_host, running_sum_from_zero
from rankdet.losses._ranking import (
    LossModule,
    LossOperator,
    one_value,
    two_values,
    value_dtype,
)
from rankdet.losses._sorting import sorting_errors
from rankdet.losses._windows import sums_above, window

_BLOCK = 1 << 20


class _Buckets:
    """Sorted positives [P] and the buckets between them [P + 1], highest first; some are empty."""

    def __init__(self, logits: Tensor, targets: Tensor, positives: Tensor, delta: float) -> None:
        is_negative = targets == 0
        lowest = logits[positives].amin() - delta
        relevant = is_negative & (logits >= lowest)
        counts = read_on_host([is_negative.count_nonzero(), relevant.count_nonzero()])
        members = torch.cat((positives, positions_of(is_negative, int(counts[0]))))
        # Not a stable sort, and of all negatives: so equal logits fall as in the published code.
        scores, order = torch.sort(logits[members], descending=True)
        is_positive = order < positives.numel()
        members, scores = members[order], scores.to(torch.float64)
        above = is_positive.cumsum(0)  # positives down to each member
        of_positives = positions_of(is_positive, positives.numel())
        # The irrelevant negatives are the last.
        of_negatives = positions_of(~is_positive, int(counts[0]))[: int(counts[1])]
        self.flat, self.positives = members[of_positives], scores[of_positives]
        self.negatives, self.bucket = members[of_negatives], above[of_negatives]
        borders = torch.arange(positives.numel() + 1, device=logits.device)
        ends = torch.searchsorted(self.bucket, borders, right=True)
        totals = running_sum_from_zero(scores[of_negatives])[ends]
        self.sizes = ends.diff(prepend=ends.new_zeros(1)).to(torch.float64)
        sums = totals.diff(prepend=totals.new_zeros(1))
        self.means = torch.where(self.sizes > 0, sums / self.sizes, 0.0)

    def pairs(self, delta: float) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows: which positives, and H(mean - p_i) [rows, P + 1]."""
        rows = max(1, _BLOCK // self.means.numel())
        for start in range(0, self.positives.numel(), rows):
            part = slice(start, start + rows)
            yield part, window(self.means[None, :] - self.positives[part, None], delta)


class _BucketedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        targets: Tensor,
        positions: Tensor,
        delta: float,
        eps: float,
        with_sorting: bool,
    ) -> tuple[Tensor, ...]:
        outputs, count = 1 + with_sorting, positions.numel()
        values = [logits.new_zeros((), dtype=torch.float64) for _ in range(outputs)]
        gradients = [torch.zeros_like(logits, dtype=torch.float64) for _ in range(outputs)]
        if count > 0:
            buckets = _Buckets(logits, targets, positions, delta)
            values[0] = _rank(buckets, delta, eps, 1 / count, gradients[0])
            if with_sorting:
                u = targets[buckets.flat].to(torch.float64)
                values[1] = _sort(buckets, u, delta, eps, 1 / count, gradients[1])
        ctx.dtype = logits.dtype
        ctx.save_for_backward(*(each.to(value_dtype(logits)) for each in gradients))
        return tuple(each.to(value_dtype(logits)) for each in values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *incoming: Tensor) -> tuple[Tensor | None, ...]:
        gradient, *others = (a * b for a, b in zip(incoming, ctx.saved_tensors, strict=True))
        for each in others:
            gradient = gradient + each
        return gradient.to(ctx.dtype), *[None] * 5


_apply: Callable[..., tuple[Tensor, ...]] = _BucketedLoss.apply


def _rank(buckets: _Buckets, delta: float, eps: float, share: float, gradient: Tensor) -> Tensor:
    """The ranking part; writes into ``gradient`` [n]."""
    false_positives = torch.empty_like(buckets.positives)
    for part, above in buckets.pairs(delta):
        false_positives[part] = (above * buckets.sizes).sum(1)
    ascending = buckets.positives.flip(0)
    (positives_above,) = sums_above(ascending, delta, torch.ones_like(ascending))
    rank = positives_above.flip(0) + false_positives
    is_wrong = false_positives > eps
    coefficients = torch.where(is_wrong, share / rank, 0.0)
    to_buckets = torch.zeros_like(buckets.means)
    for part, above in buckets.pairs(delta):
        to_buckets += above.mul_(coefficients[part, None]).sum(0)
    errors = false_positives / rank
    gradient[buckets.flat] = -torch.where(is_wrong, errors, 0.0) * share
    gradient[buckets.negatives] = to_buckets[buckets.bucket]
    return errors.sum() * share


def _sort(
    buckets: _Buckets, u: Tensor, delta: float, eps: float, share: float, gradient: Tensor
) -> Tensor:
    """The sorting part, that of Rank & Sort; writes into ``gradient`` [n]."""
    _, errors, to_positives = sorting_errors(buckets.positives.flip(0), u.flip(0), delta, eps)
    gradient[buckets.flat] = to_positives.flip(0) * share
    return errors.sum() * share


def _prepare(
    logits: Tensor, targets: Tensor, delta: float, eps: float, with_sorting: bool
) -> tuple[Any, ...]:
    positions = read_values(logits, targets, delta)
    return logits, targets, positions, delta, eps, with_sorting


def _empty(
    logits: Tensor, targets: Tensor, delta: float, eps: float, with_sorting: bool
) -> list[Tensor]:
    return two_values(logits) if with_sorting else one_value(logits)


_OPERATOR = LossOperator(
    "bucketed_loss",
    "Tensor logits, Tensor targets, float delta, float eps, bool with_sorting",
    _BucketedLoss,
    _prepare,
    _empty,
)


def _bucketed(
    logits: Tensor, targets: Tensor, delta: float, eps: float, with_sorting: bool
) -> tuple[Tensor, ...]:
    check_inputs(logits, targets)
    delta = check_delta(delta)
    eps = check_eps(eps)
    given = logits, targets, delta, eps, with_sorting
    return tuple(_OPERATOR(*given)) if torch.compiler.is_compiling() else _apply(*_prepare(*given))


def bucketed_ap_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 1.0, eps: float = 1e-10
) -> Tensor:
    """Bucketed AP Loss: mean of FP_i / rank_i over buckets of negatives; section 4 of the paper.

    Not AP Loss even where bucketing is exact: precision is not interpolated, and rank_i holds the
    own term as 1/2. On which side of a bucket's border an equal logit falls is the choice of
    torch.sort, as published.

    Args:
        logits: raw scores before the sigmoid [n].
        targets: > 0 positive, 0 negative, -1 ignored [n].
        delta: half width of the window function, in logits, > 0.
        eps: a positive with FP_i <= eps counts as perfectly ranked: no update.

    Returns:
        Scalar, with an error-driven update as its gradient. Zero with a graph where the published
        code raises: without positives, or without relevant negatives.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`.

    Example:
        >>> import torch
        >>> from rankdet.losses import bucketed_ap_loss
        >>> logits = torch.tensor([2.0, 1.5, 1.4, 0.5], requires_grad=True)
        >>> loss = bucketed_ap_loss(logits, torch.tensor([1, 0, 0, 1]))
        >>> loss.backward()
        >>> round(loss.item(), 4), [round(each, 4) for each in logits.grad.tolist()]
        (0.5195, [-0.2368, 0.2597, 0.2597, -0.2826])
    """
    return _bucketed(logits, targets, delta, eps, False)[0]


def bucketed_rank_sort_loss(
    logits: Tensor, targets: Tensor, *, delta: float = 0.5, eps: float = 1e-10
) -> tuple[Tensor, Tensor]:
    """Bucketed Rank & Sort Loss, section 4 of the paper; its sorting part is that of Rank & Sort.

    Args:
        logits: raw scores before the sigmoid [n].
        targets: quality of a positive in (0, 1], 0 negative, -1 ignored [n].
        delta: half width of the window function, in logits, > 0.
        eps: mass below which an error is not distributed.

    Returns:
        (ranking, sorting), scalars, each with its own gradient; ties and zeros as in
        :func:`rankdet.losses.bucketed_ap_loss`.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`.

    Example:
        >>> import torch
        >>> from rankdet.losses import bucketed_rank_sort_loss
        >>> logits = torch.tensor([2.0, 1.9, 1.7, 1.8], requires_grad=True)
        >>> parts = bucketed_rank_sort_loss(logits, torch.tensor([0.5, 0.0, 0.0, 0.9]))
        >>> [round(each.item(), 4) for each in parts]
        [0.4416, 0.1167]
    """
    ranking, sorting = _bucketed(logits, targets, delta, eps, True)
    return ranking, sorting


class BucketedApLoss(LossModule):
    """Bucketed AP Loss with fixed settings; see :func:`rankdet.losses.bucketed_ap_loss`.

    Args:
        delta: as in the function.
        eps: as in the function.

    Raises:
        InputError: for a delta that is no finite number > 0, or an eps that is none >= 0.

    Example:
        >>> import torch
        >>> from rankdet.losses import BucketedApLoss
        >>> loss, logits = BucketedApLoss(), torch.tensor([2.0, 1.5, 0.5], requires_grad=True)
        >>> round(loss(logits, torch.tensor([1, 0, 1])).item(), 4)
        0.3667
    """

    def __init__(self, delta: float = 1.0, eps: float = 1e-10) -> None:
        super().__init__(delta=check_delta(delta), eps=check_eps(eps))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits [n] and targets [n]."""
        return bucketed_ap_loss(logits, targets, **self.settings)


class BucketedRankSortLoss(LossModule):
    """Bucketed Rank & Sort Loss; see :func:`rankdet.losses.bucketed_rank_sort_loss`.

    Args:
        delta: as in the function.
        eps: as in the function.

    Raises:
        InputError: for a delta that is no finite number > 0, or an eps that is none >= 0.

    Example:
        >>> import torch
        >>> from rankdet.losses import BucketedRankSortLoss
        >>> loss = BucketedRankSortLoss(delta=0.25)
        >>> logits = torch.tensor([2.0, 1.9, 1.8], requires_grad=True)
        >>> [round(each.item(), 4) for each in loss(logits, torch.tensor([0.5, 0.0, 0.9]))]
        [0.3333, 0.1286]
    """

    def __init__(self, delta: float = 0.5, eps: float = 1e-10) -> None:
        super().__init__(delta=check_delta(delta), eps=check_eps(eps))

    def forward(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return (ranking, sorting) of logits [n] and targets [n], qualities of the positives."""
        return bucketed_rank_sort_loss(logits, targets, **self.settings)
