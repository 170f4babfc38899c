"""Parameterized AP Loss (Tao et al., Searching Parameterized AP Loss for Object Detection,
NeurIPS 2021)."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankdet.errors import InputError, shown
from rankdet.losses._checks import check_count, check_flat, check_inputs, read_values
from rankdet.losses._devices import positions_of, read_on_host
from rankdet.losses._kernels import (
    Curve,
    Kernel,
    PiecewisePolynomial,
    Sigmoid,
    Step,
    Summed,
    linear_curve,
    piecewise_linear,
    sigmoid_curve,
    square_curve,
)
from rankdet.losses._ranking import (
    LossModule,
    LossOperator,
    one_value,
    value_dtype,
)

# Searched by the authors (configs/paploss of their repository). Rows: H2, I2, I3, I1, H1; a row is
# x0, y0, x1, y1, ... from (0, 0) to (1, 1).
SEARCHED_CONTROL_POINTS = {
    "retina": (
        (0, 0, 0.4182, 0.0277, 0.4948, 0.2187, 0.6882, 0.2624, 0.802, 0.6688, 1, 1),
        (0, 0, 0.1279, 0.3696, 0.3056, 0.4708, 0.5198, 0.529, 0.6983, 0.6709, 1, 1),
        (0, 0, 0.0931, 0.0289, 0.3607, 0.5585, 0.4823, 0.7131, 0.6291, 0.8162, 1, 1),
        (0, 0, 0.4914, 0.1499, 0.5492, 0.1664, 0.6259, 0.3051, 0.7945, 0.6195, 1, 1),
        (0, 0, 0.413, 0.0798, 0.4356, 0.3571, 0.5361, 0.7063, 0.8097, 0.9083, 1, 1),
    ),
    "rpn": (
        (0, 0, 0.9058, 0.0484, 0.9068, 0.512, 0.9232, 0.7286, 0.9766, 0.9677, 1, 1),
        (0, 0, 0.32, 0.1084, 0.3493, 0.2482, 0.4924, 0.3869, 0.7231, 0.651, 1, 1),
        (0, 0, 0.0935, 0.0419, 0.2177, 0.1168, 0.5857, 0.3748, 0.7962, 0.6683, 1, 1),
        (0, 0, 0.0045, 0.3599, 0.1295, 0.4603, 0.7662, 0.514, 0.8483, 0.5259, 1, 1),
        (0, 0, 0.1764, 0.1081, 0.5245, 0.4907, 0.6956, 0.5668, 0.7642, 0.8645, 1, 1),
    ),
    "roi": (
        (0, 0, 0.3344, 0.0268, 0.546, 0.2461, 0.8196, 0.6466, 0.9467, 0.8617, 1, 1),
        (0, 0, 0.0978, 0.2019, 0.4073, 0.3367, 0.6337, 0.4689, 0.7708, 0.6633, 1, 1),
        (0, 0, 0.2406, 0.0515, 0.3358, 0.5259, 0.6047, 0.6647, 0.8575, 0.7792, 1, 1),
        (0, 0, 0.2574, 0.2363, 0.5442, 0.5999, 0.7165, 0.6548, 0.8728, 0.8331, 1, 1),
        (0, 0, 0.1551, 0.2675, 0.4902, 0.3957, 0.7245, 0.5095, 0.8068, 0.872, 1, 1),
    ),
}


@dataclass
class Functions:
    """The five functions: H1, H2 of score differences; I1, I2, I3 of qualities."""

    h1: Summed
    h2: Kernel
    i1: Curve
    i2: Curve
    i3: Curve

    @classmethod
    @functools.lru_cache(maxsize=64)
    def searched(cls, rows: tuple[tuple[float, ...], ...]) -> Functions:
        """From control points; rows H2, I2, I3, I1 and maybe H1 (else the step at 0)."""
        h1 = PiecewisePolynomial.through(rows[4]) if len(rows) == 5 else Step()
        i2, i3, i1 = (piecewise_linear(row) for row in rows[1:4])
        return cls(h1, PiecewisePolynomial.through(rows[0]), i1, i2, i3)

    @classmethod
    def handmade(cls, kernel: Kernel, curve: Curve) -> Functions:
        """One function for both H, one for all I."""
        return cls(kernel, kernel, curve, curve, curve)


_HANDMADE = {
    "sigmoid": Functions.handmade(Sigmoid(), sigmoid_curve),
    "linear": Functions.handmade(PiecewisePolynomial([0, 1], [(0, 1, 0)]), linear_curve),
    "square": Functions.handmade(PiecewisePolynomial([0, 1], [(0, 0, 1)]), square_curve),
}
FORMS = ("searched", *_HANDMADE)


@dataclass
class _Gradients:
    """The value, and gradients at positions of the flat list."""

    value: Tensor
    selected: Tensor
    to_selected: Tensor
    positives: Tensor
    to_positives: Tensor
    to_qualities: Tensor


def _loss(
    logits: Tensor,
    qualities: Tensor,
    is_positive: Tensor,
    selected: Tensor,
    positives: Tensor,
    functions: Functions,
    count: float,
) -> _Gradients:
    """Value and gradients.

    L = 1/count Sum_i [1 - I1(u_i) + I3(u_i) N_i / D_i],  N_i = Sum_j v_j H2(s_j - p_i),
    D_i = Sum_j H1(s_j - p_i),  v_j = 1 - I2(u_j),
    j over the selected logits, i over the positives.
    With a_i = I3(u_i) / (count D_i), H1 held constant:
    dL/ds_j = v_j Sum_i a_i H2'(s_j - p_i),  dL/dp_i = -a_i Sum_j v_j H2'(s_j - p_i).
    """
    points, order = torch.sort(logits[selected].to(torch.float64), stable=True)
    selected = selected[order]
    scores, order = torch.sort(logits[positives].to(torch.float64), stable=True)
    positives = positives[order]
    u = qualities[positives].to(torch.float64)
    # The quality of a negative is 0.
    among = is_positive[selected]
    u_points = torch.where(among, qualities[selected].to(torch.float64), 0.0)
    v = 1 - functions.i2(u_points)[0]
    numerator = functions.h2.sums(points, v, scores)
    denominator = functions.h1.sums(points, torch.ones_like(points), scores)
    ratio = torch.where(denominator > 0, numerator / denominator, 0.0)
    i1, i1_slope = functions.i1(u)
    i3, i3_slope = functions.i3(u)
    value = (1 - i1 + i3 * ratio).sum() / count
    a = torch.where(denominator > 0, i3 / denominator, 0.0) / count
    mirrored, a_mirrored = -scores.flip(0), a.flip(0)
    to_selected = v * functions.h2.slopes(mirrored, a_mirrored, -points)
    to_positives = -a * functions.h2.slopes(points, v, scores)
    as_selected = functions.h2.sums(mirrored, a_mirrored, -scores) * functions.i2(u)[1]
    is_selected = torch.zeros_like(is_positive).index_fill(0, selected, True)[positives]
    to_qualities = (i3_slope * ratio - i1_slope) / count
    to_qualities = to_qualities - torch.where(is_selected, as_selected, 0.0)
    return _Gradients(value, selected, to_selected, positives, to_positives, to_qualities)


def _select(logits: Tensor, is_ranked: Tensor, top_k: int) -> Tensor:
    """Positions of the ranked logits; of the top_k largest if there are more."""
    (count,) = read_on_host([is_ranked.count_nonzero()])
    if count <= top_k:
        return positions_of(is_ranked, int(count))
    members = positions_of(is_ranked, int(count))
    return members[torch.topk(logits[members], top_k, sorted=False).indices]


class _ParameterizedAP(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        qualities: Tensor,
        targets: Tensor,
        positions: Tensor,
        functions: Functions,
        top_k: int,
    ) -> Tensor:
        ctx.save_for_backward(logits, qualities)
        ctx.found = None
        if positions.numel() == 0:
            return logits.new_zeros((), dtype=value_dtype(logits))
        selected = _select(logits, targets >= 0, top_k)
        count = positions.numel() + 1e-8
        found = _loss(logits, qualities, targets > 0, selected, positions, functions, count)
        ctx.found = found
        return found.value.to(value_dtype(logits))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        logits, qualities = ctx.saved_tensors
        to_logits = torch.zeros_like(logits, dtype=torch.float64)
        to_qualities = torch.zeros_like(qualities)
        if ctx.found is not None:
            found, scale = ctx.found, incoming.to(torch.float64)
            to_logits[found.selected] = found.to_selected * scale
            to_logits[found.positives] += found.to_positives * scale
            to_qualities[found.positives] = (found.to_qualities * scale).to(qualities.dtype)
        return to_logits.to(logits.dtype), to_qualities, *[None] * 4


_apply: Callable[..., Tensor] = _ParameterizedAP.apply


_NO_ROWS = ((0.0,),)  # an operator takes no empty list


def _prepare(
    logits: Tensor,
    qualities: Tensor,
    targets: Tensor,
    points: Sequence[float],
    sizes: Sequence[int],
    top_k: int,
    form: str,
) -> tuple[Any, ...]:
    rows, start = [], 0
    for size in sizes:
        rows.append(points[start : start + size])
        start += size
    functions = chosen_functions(form, None if list(map(tuple, rows)) == [*_NO_ROWS] else rows)
    return logits, qualities, targets, _positions(logits, qualities, targets), functions, top_k


def _positions(logits: Tensor, qualities: Tensor, targets: Tensor) -> Tensor:
    """Check the values; return the places of the positives."""
    quality_of_positives = torch.where(targets > 0, qualities.detach(), 0)
    return read_values(logits, targets, 1.0, {"qualities": (quality_of_positives, 1.0)})


_OPERATOR = LossOperator(
    "parameterized_ap_loss",
    "Tensor logits, Tensor qualities, Tensor targets, float[] points, SymInt[] sizes, SymInt top_k,"
    " str form",
    _ParameterizedAP,
    _prepare,
    one_value,
    inputs=2,
)


def parameterized_ap_loss(
    logits: Tensor,
    qualities: Tensor,
    targets: Tensor,
    control_points: Sequence[Sequence[float]] | None = None,
    *,
    top_k: int = 100_000,
    form: str = "searched",
) -> Tensor:
    """Parameterized AP Loss: a searched generalization of AP over IoU thresholds, eq. 8.

    An ordinary differentiable function; H1 is held constant in the gradient, as published.

    Args:
        logits: raw scores before the sigmoid [n].
        qualities: localization quality in [0, 1] of the positives, at their places in the list
            [n], with its graph; the published heads use (GIoU + 1)/2. Elsewhere it is not read.
        targets: > 0 positive, 0 negative, -1 ignored [n].
        control_points: for ``form="searched"``: 4 or 5 rows of 8, 12 or 16 numbers, in the order
            H2, I2, I3, I1, H1; see :data:`rankdet.losses.SEARCHED_CONTROL_POINTS`.
        top_k: only the top_k largest logits enter the sums. Which of equal ones do is the choice
            of torch.topk, as published.
        form: "searched", or the hand-made "sigmoid", "linear", "square".

    Returns:
        Scalar; zero with a graph if there is no positive.

    Raises:
        InputError: as :func:`rankdet.losses.ap_loss`; also for control points that define no
            function, an unknown form, top_k < 1, or qualities outside [0, 1].

    Example:
        >>> import torch
        >>> from rankdet.losses import SEARCHED_CONTROL_POINTS, parameterized_ap_loss
        >>> logits = torch.tensor([2.0, 1.5, 0.5], requires_grad=True)
        >>> qualities = torch.tensor([0.9, 0.0, 0.6], requires_grad=True)
        >>> points = SEARCHED_CONTROL_POINTS["retina"]
        >>> loss = parameterized_ap_loss(logits, qualities, torch.tensor([1, 0, 1]), points)
        >>> loss.backward()
        >>> round(loss.item(), 4), [round(each, 4) for each in qualities.grad.tolist()]
        (0.6789, [-1.2591, 0.0, -0.768])
    """
    check_inputs(logits, targets)
    check_flat("qualities", qualities, logits)
    if not qualities.is_floating_point():
        raise InputError("floating-point qualities", str(qualities.dtype), "use .float()")
    top_k = check_top_k(top_k)
    if torch.compiler.is_compiling():
        rows = control_points if form == "searched" and control_points is not None else _NO_ROWS
        points, sizes = [float(each) for row in rows for each in row], [len(row) for row in rows]
        return _OPERATOR(logits, qualities, targets, points, sizes, top_k, form)[0]
    functions = chosen_functions(form, control_points)
    positions = _positions(logits, qualities, targets)
    return _apply(logits, qualities, targets, positions, functions, top_k)


class ParameterizedApLoss(LossModule):
    """Parameterized AP Loss with fixed settings; see :func:`rankdet.losses.parameterized_ap_loss`.

    Args:
        control_points: as in the function.
        top_k: as in the function.
        form: as in the function.

    Raises:
        InputError: for control points that define no function, an unknown form, or top_k < 1.

    Example:
        >>> import torch
        >>> from rankdet.losses import ParameterizedApLoss
        >>> loss = ParameterizedApLoss(form="linear")
        >>> logits = torch.tensor([2.0, 1.5, 0.5], requires_grad=True)
        >>> round(loss(logits, torch.tensor([0.9, 0.0, 0.6]), torch.tensor([1, 0, 1])).item(), 4)
        0.586
    """

    def __init__(
        self,
        control_points: Sequence[Sequence[float]] | None = None,
        top_k: int = 100_000,
        form: str = "searched",
    ) -> None:
        top_k = check_top_k(top_k)
        chosen_functions(form, control_points)
        super().__init__(control_points=control_points, top_k=top_k, form=form)

    def forward(self, logits: Tensor, qualities: Tensor, targets: Tensor) -> Tensor:
        """Return the loss, a scalar, of logits [n], qualities [n] and targets [n]."""
        return parameterized_ap_loss(logits, qualities, targets, **self.settings)


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


def check_control_points(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the rows as lists of floats.

    Args:
        rows: x and y of each point by function: x0, y0, x1, y1, ...

    Returns:
        The same numbers.

    Raises:
        InputError: unless there are 4 or 5 rows of 4, 6 or 8 points, from (0, 0) to (1, 1), with x
            never falling.
    """
    rows = _as_lists(rows)
    is_numbers = isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    if not is_numbers or not all(_is_number(each) for row in rows for each in row):
        raise InputError(
            "control_points as 4 or 5 rows of numbers", shown(rows), "see SEARCHED_CONTROL_POINTS"
        )
    if len(rows) not in (4, 5):
        raise InputError(
            "4 or 5 rows of control points: H2, I2, I3, I1 and maybe H1",
            f"{len(rows)} rows",
            "without a fifth row H1 is the step at 0",
        )
    for number, row in enumerate(rows):
        if len(row) not in (8, 12, 16):
            raise InputError(
                "rows of 8, 12 or 16 numbers, x0, y0, x1, y1, ...",
                f"{len(row)} in row {number}",
                "give 4, 6 or 8 points",
            )
        rises = all(a <= b for a, b in pairwise(row[::2]))
        in_range = all(0 <= each <= 1 for each in row)
        if row[:2] != [0, 0] or row[-2:] != [1, 1] or not rises or not in_range:
            raise InputError(
                "control points from (0, 0) to (1, 1) in the unit square, x never falling",
                f"row {number} = {shown(row, 100)}",
                "sort the points by x",
            )
    return [[float(each) for each in row] for row in rows]


def _as_lists(rows: Any) -> Any:
    """Return rows of an array, of arrays or of any sequences as lists of lists."""
    if hasattr(rows, "tolist"):
        return rows.tolist()
    if isinstance(rows, list | tuple):
        return [_as_lists(row) for row in rows]
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
