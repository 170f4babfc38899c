"""Parameterized AP Loss (Tao et al., Searching Parameterized AP Loss for Object Detection,
NeurIPS 2021)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.errors import InputError, shown
from rankdet.losses import curves
from rankdet.losses.compilation import not_compiled
from rankdet.losses.control_points import check_control_points
from rankdet.losses.devices import positions_of, read_on_host
from rankdet.losses.kernels import Kernel, PiecewisePolynomial, Step
from rankdet.losses.pools import Pools
from rankdet.losses.ranking import value_dtype
from rankdet.losses.settings import check_count
from rankdet.losses.sigmoid_kernel import Sigmoid
from rankdet.losses.validation import check_flat, check_inputs, read_values


@dataclass
class Functions:
    """The five functions: H1, H2 of score differences; I1, I2, I3 of qualities."""

    h1: Kernel
    h2: Kernel
    i1: curves.Curve
    i2: curves.Curve
    i3: curves.Curve

    @classmethod
    @functools.lru_cache(maxsize=64)
    def searched(cls, rows: tuple[tuple[float, ...], ...]) -> Functions:
        """From control points; rows H2, I2, I3, I1 and maybe H1 (else the step at 0)."""
        h1 = PiecewisePolynomial.through(rows[4]) if len(rows) == 5 else Step()
        i2, i3, i1 = (curves.piecewise_linear(row) for row in rows[1:4])
        return cls(h1, PiecewisePolynomial.through(rows[0]), i1, i2, i3)

    @classmethod
    def handmade(cls, kernel: Kernel, curve: curves.Curve) -> Functions:
        """One function for both H, one for all I."""
        return cls(kernel, kernel, curve, curve, curve)


_HANDMADE = {
    "sigmoid": Functions.handmade(Sigmoid(), curves.sigmoid),
    "linear": Functions.handmade(PiecewisePolynomial([0, 1], [(0, 1, 0)]), curves.linear),
    "square": Functions.handmade(PiecewisePolynomial([0, 1], [(0, 0, 1)]), curves.square),
}
FORMS = ("searched", *_HANDMADE)


@dataclass
class _Gradients:
    """Of one pool, in its positions of the flat list."""

    value: Tensor
    candidates: Tensor
    to_candidates: Tensor
    positives: Tensor
    to_positives: Tensor
    to_qualities: Tensor


def _pool_loss(
    logits: Tensor,
    qualities: Tensor,
    is_positive: Tensor,
    candidates: Tensor,
    positives: Tensor,
    functions: Functions,
    count: float,
) -> _Gradients:
    """Value and gradients over one pool.

    L = 1/count Sum_i [1 - I1(u_i) + I3(u_i) N_i / D_i],  N_i = Sum_j v_j H2(s_j - p_i),
    D_i = Sum_j H1(s_j - p_i),  v_j = 1 - I2(u_j),  j over the candidates, i over the positives.
    With a_i = I3(u_i) / (count D_i), H1 held constant:
    dL/ds_j = v_j Sum_i a_i H2'(s_j - p_i),  dL/dp_i = -a_i Sum_j v_j H2'(s_j - p_i).
    """
    points, order = torch.sort(logits[candidates].to(torch.float64), stable=True)
    candidates = candidates[order]
    scores, order = torch.sort(logits[positives].to(torch.float64), stable=True)
    positives = positives[order]
    u = qualities[positives].to(torch.float64)
    # The quality of a negative is 0.
    among = is_positive[candidates]
    u_points = torch.where(among, qualities[candidates].to(torch.float64), 0.0)
    v = 1 - functions.i2(u_points)[0]
    numerator = functions.h2.sums(points, v, scores)
    denominator = functions.h1.sums(points, torch.ones_like(points), scores)
    ratio = torch.where(denominator > 0, numerator / denominator, 0.0)
    i1, i1_slope = functions.i1(u)
    i3, i3_slope = functions.i3(u)
    value = (1 - i1 + i3 * ratio).sum() / count
    a = torch.where(denominator > 0, i3 / denominator, 0.0) / count
    mirrored, a_mirrored = -scores.flip(0), a.flip(0)
    to_candidates = v * functions.h2.slopes(mirrored, a_mirrored, -points)
    to_positives = -a * functions.h2.slopes(points, v, scores)
    as_candidate = functions.h2.sums(mirrored, a_mirrored, -scores) * functions.i2(u)[1]
    is_candidate = torch.zeros_like(is_positive).index_fill(0, candidates, True)[positives]
    to_qualities = (i3_slope * ratio - i1_slope) / count
    to_qualities = to_qualities - torch.where(is_candidate, as_candidate, 0.0)
    return _Gradients(value, candidates, to_candidates, positives, to_positives, to_qualities)


def _select(logits: Tensor, is_candidate: Tensor, top_k: int) -> Tensor:
    """Positions of the candidates, of the top_k largest if there are more."""
    (count,) = read_on_host([is_candidate.count_nonzero()])
    if count <= top_k:
        return positions_of(is_candidate, int(count))
    members = positions_of(is_candidate, int(count))
    return members[torch.topk(logits[members], top_k, sorted=False).indices]


class _ParameterizedAP(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, qualities, targets, positions, pools, functions, top_k):
        is_positive, is_candidate = targets > 0, targets >= 0
        value = logits.new_zeros((), dtype=torch.float64)
        parts = []
        for slot, size in enumerate(pools.positives):
            if size == 0:
                continue
            own, positives = is_candidate, positions
            if pools.index is not None:
                own = own & (pools.index == slot)
                positives = positions[positions_of(pools.index[positions] == slot, size)]
            candidates = _select(logits, own, top_k)
            count = (size + 1e-8) * pools.count
            part = _pool_loss(
                logits, qualities, is_positive, candidates, positives, functions, count
            )
            value = value + part.value
            parts.append(part)
        ctx.save_for_backward(logits, qualities)
        ctx.parts = parts
        return value.to(value_dtype(logits))

    @staticmethod
    @once_differentiable
    def backward(ctx, incoming):
        logits, qualities = ctx.saved_tensors
        to_logits = torch.zeros_like(logits, dtype=torch.float64)
        to_qualities = torch.zeros_like(qualities)
        scale = incoming.to(torch.float64)
        for part in ctx.parts:
            to_logits[part.candidates] = part.to_candidates * scale
            to_logits[part.positives] += part.to_positives * scale
            to_qualities[part.positives] = (part.to_qualities * scale).to(qualities.dtype)
        return to_logits.to(logits.dtype), to_qualities, *[None] * 5


@not_compiled
def parameterized_ap_loss(
    logits: Tensor,
    qualities: Tensor,
    targets: Tensor,
    control_points: Sequence[Sequence[float]] | None = None,
    *,
    top_k: int = 100_000,
    form: str = "searched",
    pools: Tensor | None = None,
) -> Tensor:
    """Parameterized AP Loss: a searched generalisation of AP over IoU thresholds, eq. 8.

    An ordinary differentiable function; H1 is held constant in the gradient, as published.

    Args:
        logits: raw scores before the sigmoid [n].
        qualities: localization quality in [0, 1] of the positives, at their places in the list
            [n], with its graph; the published heads use (GIoU + 1)/2. Elsewhere it is not read.
        targets: > 0 positive, 0 negative, -1 ignored [n].
        control_points: for ``form="searched"``: 4 or 5 rows of 8, 12 or 16 numbers, in the order
            H2, I2, I3, I1, H1; see :data:`rankdet.losses.SEARCHED_CONTROL_POINTS`.
        top_k: only the top_k largest logits of a pool enter the sums. Which
            of equal ones do is the choice of torch.topk, as published.
        form: "searched", or the hand-made "sigmoid", "linear", "square".
        pools: ranking pool of each logit, int64 [n]; see :func:`rankdet.losses.ap_loss`.

    Returns:
        Scalar; zero with a graph if there is no positive.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`; also for control points that define no
            function, an unknown form, top_k < 1, or qualities outside [0, 1].
    """
    check_inputs(logits, targets, pools)
    check_flat("qualities", qualities, logits)
    if not qualities.is_floating_point():
        raise InputError("floating-point qualities", str(qualities.dtype), "use .float()")
    top_k = check_top_k(top_k)
    functions = chosen_functions(form, control_points)
    quality_of_positives = torch.where(targets > 0, qualities.detach(), 0)
    positions = read_values(logits, targets, 1.0, {"qualities": (quality_of_positives, 1.0)})
    return _ParameterizedAP.apply(
        logits, qualities, targets, positions, Pools.of(pools, positions), functions, top_k
    )


def check_top_k(top_k: Any) -> int:
    """Return top_k as an int >= 1; InputError if it is none."""
    return check_count("top_k >= 1", top_k, "the published value is 100 000")


def chosen_functions(form: str, control_points: Sequence[Sequence[float]] | None) -> Functions:
    """The five functions that the settings ask for; InputError if they make no sense."""
    if form not in FORMS:
        raise InputError(f"form as one of {', '.join(FORMS)}", shown(form), "choose one of them")
    if form != "searched":
        return _HANDMADE[form]
    if control_points is None:
        raise InputError(
            "control_points for form='searched'", "None", "try SEARCHED_CONTROL_POINTS['retina']"
        )
    return Functions.searched(tuple(map(tuple, check_control_points(control_points))))
