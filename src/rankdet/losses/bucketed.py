"""Bucketed Ranking-based Losses (Yavuz et al., ECCV 2024): the published approximation.

Positives and relevant negatives are sorted together; each run of negatives between two positives
is one bucket, which stands for its members with its mean logit and its size. H is not linear over
a bucket that reaches past a window edge, so this is not exact (the exact losses are faster, too).
It is here, as published, for the rows of that paper: joint sort, then all buckets x positives. Only
the memory differs: the matrix is made in blocks of rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.losses.compilation import not_compiled
from rankdet.losses.devices import positions_of, read_on_host, running_sum_from_zero
from rankdet.losses.pairs import window
from rankdet.losses.pools import Pools
from rankdet.losses.ranking import value_dtype
from rankdet.losses.settings import check_delta, check_eps
from rankdet.losses.sorted_points import sums_above
from rankdet.losses.sorting import sorting_errors
from rankdet.losses.validation import check_inputs, read_values

_BLOCK = 1 << 20


class _Buckets:
    """Sorted positives [P] and the buckets between them [P + 1], highest first; some are empty."""

    def __init__(
        self, logits: Tensor, targets: Tensor, positives: Tensor, own: Tensor | None, delta: float
    ) -> None:
        is_negative = targets == 0 if own is None else (targets == 0) & own
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

    def pairs(self, delta: float):
        """Blocks of rows: which positives, and H(mean - p_i) [rows, P + 1]."""
        rows = max(1, _BLOCK // self.means.numel())
        for start in range(0, self.positives.numel(), rows):
            part = slice(start, start + rows)
            yield part, window(self.means[None, :] - self.positives[part, None], delta)


class _BucketedLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, positions, pools, delta, eps, with_sorting):
        values = [logits.new_zeros((), dtype=torch.float64) for _ in range(2)]
        gradients = [torch.zeros_like(logits, dtype=torch.float64) for _ in range(1 + with_sorting)]
        for slot, size in enumerate(pools.positives):
            if size == 0:
                continue
            share = 1 / (size * pools.count)
            own, positives = None, positions
            if pools.index is not None:
                own = pools.index == slot
                positives = positions[positions_of(own[positions], size)]
            buckets = _Buckets(logits, targets, positives, own, delta)
            values[0] = values[0] + _rank(buckets, delta, eps, share, gradients[0])
            if with_sorting:
                u = targets[buckets.flat].to(torch.float64)
                values[1] = values[1] + _sort(buckets, u, delta, eps, share, gradients[1])
        ctx.dtype = logits.dtype
        ctx.save_for_backward(*(each.to(value_dtype(logits)) for each in gradients))
        return tuple(each.to(value_dtype(logits)) for each in values[: 1 + with_sorting])

    @staticmethod
    @once_differentiable
    def backward(ctx, *incoming):
        gradient = sum(a * b for a, b in zip(incoming, ctx.saved_tensors, strict=True))
        return gradient.to(ctx.dtype), *[None] * 6


def _rank(buckets: _Buckets, delta: float, eps: float, share: float, gradient: Tensor) -> Tensor:
    """The ranking part; adds to ``gradient`` [n] in place."""
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
    """The sorting part, that of Rank & Sort; adds to ``gradient`` [n] in place."""
    _, errors, to_positives = sorting_errors(buckets.positives.flip(0), u.flip(0), delta, eps)
    gradient[buckets.flat] = to_positives.flip(0) * share
    return errors.sum() * share


@not_compiled
def _bucketed(logits, targets, delta, eps, pools, with_sorting):
    check_inputs(logits, targets, pools)
    delta = check_delta(delta)
    eps = check_eps(eps)
    positions = read_values(logits, targets, delta)
    grouped = Pools.of(pools, positions)
    return _BucketedLoss.apply(logits, targets, positions, grouped, delta, eps, with_sorting)


def bucketed_ap_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    delta: float = 1.0,
    eps: float = 1e-10,
    pools: Tensor | None = None,
) -> Tensor:
    """Bucketed AP Loss: mean of FP_i / rank_i over buckets of negatives.

    Not AP Loss even where bucketing is exact: precision is not interpolated, and rank_i holds the
    own term as 1/2. Where the published code raises (no positive, no relevant negative) this
    gives zeros with a graph. Arguments and errors as in :func:`rankdet.losses.ap_loss`. On which
    side of a bucket's border an equal logit falls is the choice of torch.sort, as published.
    """
    return _bucketed(logits, targets, delta, eps, pools, False)[0]


def bucketed_rank_sort_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    delta: float = 0.5,
    eps: float = 1e-10,
    pools: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Bucketed Rank & Sort Loss: (ranking, sorting), each with its own gradient.

    Arguments and errors as in :func:`rankdet.losses.rank_sort_loss`, delta > 0; ties as in
    :func:`bucketed_ap_loss`.
    """
    return _bucketed(logits, targets, delta, eps, pools, True)
