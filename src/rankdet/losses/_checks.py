"""Checks of what the user gave; every message says what was expected, what came, what to do.

Shapes and dtypes cost nothing. Values (finite logits, targets in range) are read together with the
number of positives, which must be known on the host anyway: one synchronization for all. Of a
numeric option any real number is accepted and becomes a Python number.
"""

from __future__ import annotations

import math
import numbers
import sys
from typing import Any

import torch
from torch import Tensor

from rankdet.errors import InputError, shown
from rankdet.losses._devices import positions_of, read_on_host

# Qualities and errors are computed from boxes: 1 - GIoU of a perfect box may come out as -1e-7.
_ROUNDING = 1e-3
FINITE = sys.float_info.max  # a bound that only NaN and infinity exceed
# Windows narrower than the spacing of float64 numbers cannot be told apart.
_LARGEST_PER_DELTA = 2.0**40
# Outside of these, 2 delta or 1 / (2 delta) is no finite number.
_NARROWEST, _WIDEST = 1e-300, 1e300


def check_flat(name: str, value: Tensor, like: Tensor | None = None) -> None:
    """Raise InputError unless ``value`` is a flat tensor, as long as ``like`` and beside it."""
    if not isinstance(value, Tensor):
        raise InputError(f"{name} as a tensor", type(value).__name__, "use torch.as_tensor")
    if value.ndim != 1:
        raise InputError(
            f"{name} of shape [n]", f"shape {list(value.shape)}", "flatten it: .reshape(-1)"
        )
    if like is None:
        return
    if value.shape != like.shape:
        raise InputError(
            f"{name} of shape {list(like.shape)}, one per logit",
            f"shape {list(value.shape)}",
            "build both from the same flat list",
        )
    if value.device != like.device:
        raise InputError(f"{name} on {like.device}, as the logits", f"{value.device}", "move it")


def check_inputs(logits: Tensor, targets: Tensor) -> None:
    """Raise InputError unless shapes, dtypes and grad of the flat inputs are right."""
    check_flat("logits", logits)
    check_flat("targets", targets, logits)
    if not logits.is_floating_point():
        raise InputError("floating-point logits", str(logits.dtype), "give raw scores: .float()")
    if targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(
            "integer or float targets", str(targets.dtype), "use targets.long(), -1 for ignored"
        )
    if torch.is_grad_enabled() and not logits.requires_grad:
        raise InputError(
            "logits that require grad",
            "logits that do not, so that backward() would do nothing",
            "remove a detach() before the loss; for the value alone use torch.no_grad()",
        )


def _extremes(values: Tensor) -> list[Tensor]:
    if values.numel() == 0:
        return [values.new_zeros(())] * 2
    return list(torch.aminmax(values.detach()))


def read_values(
    logits: Tensor,
    targets: Tensor,
    delta: float,
    bounded: dict[str, tuple[Tensor, float]] | None = None,
) -> Tensor:
    """Check all values with one host synchronization; return the flat positions [P] of positives.

    Args:
        logits: [n].
        targets: [n].
        delta: half width of the windows; 0 if there are none.
        bounded: further tensors by name, each with its upper bound; they must lie in [0, bound].

    Raises:
        InputError: for NaN, infinity, a target that has no meaning, or a value out of its range.
    """
    logits, is_positive, bounded = logits.detach(), targets > 0, bounded or {}
    asked = [
        is_positive.count_nonzero(),
        *_extremes(logits),
        *_extremes(targets),
        _lowest_fraction(targets),
        *_extremes(torch.where(is_positive, logits, 0)),
    ]
    for values, _ in bounded.values():
        asked += _extremes(values)
    count, low, high, lowest, highest, fraction, *rest = read_on_host(asked)
    _check_logits(low, high, max(-rest[0], rest[1]), delta)
    if not (lowest >= -1 and highest <= 1 + _ROUNDING and fraction >= 0):
        fractional = int(((targets < 0) & (targets > -1)).count_nonzero())
        raise InputError(
            "targets -1 (ignored), 0 (negative) or in (0, 1] (positive)",
            f"values from {lowest:g} to {highest:g}, {fractional} of them between -1 and 0",
            "give 1 or the IoU for the entry's own class and 0 elsewhere, not class indices",
        )
    for index, (name, (_, bound)) in enumerate(bounded.items(), start=1):
        low, high = rest[2 * index : 2 * index + 2]
        if not (low >= -_ROUNDING and high <= bound + _ROUNDING):
            limit = f"in [0, {bound:g}]" if bound < FINITE else "finite and >= 0"
            raise InputError(
                f"{name} {limit}", f"values from {low:g} to {high:g}", "correct or clamp them"
            )
    return positions_of(is_positive, int(count))


def _check_logits(low: float, high: float, largest: float, delta: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(
            "finite logits",
            "NaN or infinity among them",
            "look for a diverged step, or an overflow in half precision, before the loss",
        )
    if delta > 0 and not largest <= delta * _LARGEST_PER_DELTA:
        raise InputError(
            f"positive logits up to {delta * _LARGEST_PER_DELTA:.1e} (delta = {delta})",
            f"{largest:.1e}",
            "the training has diverged: lower the learning rate",
        )


def _lowest_fraction(targets: Tensor) -> Tensor:
    """Below 0 if a target lies between -1 and 0, which means nothing."""
    if not targets.is_floating_point() or targets.numel() == 0:
        return targets.new_zeros(())
    return targets.detach().frac().amin()


def check_setting(name: str, value: Any, *, zero_allowed: bool, fix: str) -> float:
    """Return ``value`` as a float, if it is a finite real number > 0 (or >= 0).

    Python and numpy numbers are accepted. A tensor or an array is not, even of one number: a loss
    would wait for a GPU to read it, and no gradient would reach it.

    Raises:
        InputError: for anything else.
    """
    expected = f"{name} as a finite number {'>=' if zero_allowed else '>'} 0"
    if _is_array(value):
        raise InputError(expected, f"a {type(value).__name__}", f"give float({name})")
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise InputError(expected, shown(value), fix)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero_allowed):
        raise InputError(expected, shown(value), fix)
    return number


def _is_array(value: Any) -> bool:
    """Whether ``value`` is a tensor or an array, of any shape; numpy numbers are none."""
    is_number = isinstance(value, numbers.Number)
    return hasattr(value, "dtype") and not is_number and "bool" not in str(value.dtype)


def check_delta(delta: Any, *, zero_allowed: bool = False) -> float:
    """Return delta, a width, as a float; InputError if it is none."""
    fix = "the papers use 1.0 or 0.5"
    width = check_setting("delta", delta, zero_allowed=zero_allowed, fix=fix)
    if width and not _NARROWEST <= width <= _WIDEST:
        raise InputError(f"delta from {_NARROWEST} to {_WIDEST}", shown(delta), fix)
    return width


def check_eps(eps: Any) -> float:
    """Return eps as a float >= 0; InputError if it is none."""
    return check_setting("eps", eps, zero_allowed=True, fix="leave it at its default")


def check_count(expected: str, value: Any, fix: str) -> int:
    """Return ``value`` as an int >= 1; InputError if it is no whole number of Python or numpy."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < 1:
        raise InputError(expected, shown(value), fix)
    return int(value)
