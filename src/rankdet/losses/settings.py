"""Checks of the numeric options: any real number is accepted and becomes a Python number."""

from __future__ import annotations

import math
import numbers
from typing import Any

from rankdet.errors import InputError, shown

# Outside of these, 2 delta or 1 / (2 delta) is no finite number.
_NARROWEST, _WIDEST = 1e-300, 1e300


def check_setting(name: str, value: Any, *, zero_allowed: bool, todo: str) -> float:
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
        raise InputError(expected, shown(value), todo)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero_allowed):
        raise InputError(expected, shown(value), todo)
    return number


def _is_array(value: Any) -> bool:
    """Whether ``value`` is a tensor or an array, of any shape; numpy numbers are none."""
    is_number = isinstance(value, numbers.Number)
    return hasattr(value, "dtype") and not is_number and "bool" not in str(value.dtype)


def check_delta(delta: Any, *, zero_allowed: bool = False) -> float:
    """Return delta, a width, as a float; InputError if it is none."""
    todo = "the papers use 1.0 or 0.5"
    width = check_setting("delta", delta, zero_allowed=zero_allowed, todo=todo)
    if width and not _NARROWEST <= width <= _WIDEST:
        raise InputError(f"delta from {_NARROWEST} to {_WIDEST}", shown(delta), todo)
    return width


def check_eps(eps: Any) -> float:
    """Return eps as a float >= 0; InputError if it is none."""
    return check_setting("eps", eps, zero_allowed=True, todo="leave it at its default")


def check_count(expected: str, value: Any, todo: str) -> int:
    """Return ``value`` as an int >= 1; InputError if it is no whole number of Python or numpy."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < 1:
        raise InputError(expected, shown(value), todo)
    return int(value)
