"""Checks of what the user gave; every message says what was expected, what came, what to do.

Shapes and dtypes cost nothing. Values (finite logits, targets in range) are read together with the
number of positives, which must be known on the host anyway: one synchronisation for all.
"""

from __future__ import annotations

import math
import sys

import torch
from torch import Tensor

from rankdet.errors import InputError
from rankdet.losses.devices import is_accelerator, positions_of, read_on_host

# Qualities and errors are computed from boxes: 1 - GIoU of a perfect box may come out as -1e-7.
_ROUNDING = 1e-3
FINITE = sys.float_info.max  # a bound that only NaN and infinity exceed
# Windows narrower than the spacing of float64 numbers cannot be told apart.
_LARGEST_PER_DELTA = 2.0**40


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


def check_inputs(logits: Tensor, targets: Tensor, pools: Tensor | None) -> None:
    """Raise InputError unless shapes, dtypes and grad of the flat inputs are right."""
    check_flat("logits", logits)
    check_flat("targets", targets, logits)
    if not logits.is_floating_point():
        raise InputError("floating-point logits", str(logits.dtype), "give raw scores: .float()")
    if targets.is_complex() or targets.dtype == torch.bool:
        raise InputError(
            "integer or float targets", str(targets.dtype), "use targets.long(), -1 for ignored"
        )
    if pools is not None:
        check_flat("pools", pools, logits)
        if pools.dtype != torch.int64:
            raise InputError("pools as int64", str(pools.dtype), "use pools.long()")
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
    """Check all values with one host synchronisation; return the flat positions [P] of positives.

    Args:
        logits, targets: [n].
        delta: half width of the windows; 0 if there are none.
        bounded: further tensors by name, each with its upper bound; they must lie in [0, bound].

    Raises:
        InputError: for NaN, infinity, a target that has no meaning, or a value out of its range.
    """
    logits, is_positive, bounded = logits.detach(), targets > 0, bounded or {}
    if is_accelerator(logits):
        positions, of_positives = None, torch.where(is_positive, logits, 0)
    else:
        positions = torch.nonzero(is_positive).squeeze(1)
        of_positives = logits[positions]
    asked = [
        is_positive.count_nonzero()
        if positions is None
        else positions.new_tensor(positions.numel()),
        *_extremes(logits),
        *_extremes(targets),
        _count_fractional(targets),
        *_extremes(of_positives),
    ]
    for values, _ in bounded.values():
        asked += _extremes(values)
    count, low, high, lowest, highest, fractional, *rest = read_on_host(asked)
    _check_logits(low, high, max(-rest[0], rest[1]), delta)
    if not (lowest >= -1 and highest <= 1 + _ROUNDING and fractional == 0):
        raise InputError(
            "targets -1 (ignored), 0 (negative) or in (0, 1] (positive)",
            f"values from {lowest:g} to {highest:g}, {int(fractional)} of them between -1 and 0",
            "give 1 or the IoU for the entry's own class and 0 elsewhere, not class indices",
        )
    for index, (name, (_, bound)) in enumerate(bounded.items(), start=1):
        low, high = rest[2 * index : 2 * index + 2]
        if not (low >= -_ROUNDING and high <= bound + _ROUNDING):
            limit = f"in [0, {bound:g}]" if bound < FINITE else "finite and >= 0"
            raise InputError(
                f"{name} {limit}", f"values from {low:g} to {high:g}", "correct or clamp them"
            )
    return positions_of(is_positive, int(count)) if positions is None else positions


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


def _count_fractional(targets: Tensor) -> Tensor:
    """How many targets lie between -1 and 0; they mean nothing."""
    if not targets.is_floating_point() or targets.numel() == 0:
        return targets.new_zeros(())
    if not is_accelerator(targets) and targets.amin() >= 0:
        return targets.new_zeros(())
    return ((targets < 0) & (targets > -1)).count_nonzero()
