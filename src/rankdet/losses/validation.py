"""Checks of what the user gave; every message says what was expected, what came, what to do."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rankdet.errors import InputError


def check_logits_and_targets(logits: Tensor, targets: Tensor, pools: Tensor | None) -> None:
    """Raise InputError unless the flat inputs can be ranked."""
    for name, value in (("logits", logits), ("targets", targets)):
        if not isinstance(value, Tensor):
            raise InputError(f"{name} as a tensor", type(value).__name__, "use torch.as_tensor")
        if value.ndim != 1:
            raise InputError(
                f"{name} of shape [n]", f"shape {list(value.shape)}", "flatten them: .reshape(-1)"
            )
    if not logits.is_floating_point():
        raise InputError("floating-point logits", str(logits.dtype), "give raw scores, .float()")
    if targets.is_complex() or targets.dtype == torch.bool:
        raise InputError("integer or float targets", str(targets.dtype), "use targets.float()")
    if targets.shape != logits.shape:
        raise InputError(
            f"one target per logit, {logits.numel()}",
            f"{targets.numel()} targets",
            "build both from the same flat list",
        )
    if targets.device != logits.device:
        raise InputError(f"targets on {logits.device}", f"{targets.device}", "move them")
    if torch.is_grad_enabled() and not logits.requires_grad:
        raise InputError(
            "logits that require grad",
            "logits without grad",
            "remove the detach, or wrap the call in torch.no_grad() if only the value is wanted",
        )
    if pools is not None and (pools.shape != logits.shape or pools.dtype != torch.int64):
        raise InputError(
            f"pools as int64 of shape {list(logits.shape)}",
            f"{pools.dtype} of shape {list(pools.shape)}",
            "give one pool index per logit",
        )
    if logits.numel():
        low, high = torch.aminmax(logits.detach())
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            raise InputError("finite logits", "NaN or infinity", "look for an overflow before")
        low, high = torch.aminmax(targets.detach())
        fractional = (targets < 0) & (targets != -1)
        if not bool((low >= -1) & (high <= 1) & ~fractional.any()):
            raise InputError(
                "targets of -1 (ignored), 0 (negative) or in (0, 1] (positive)",
                f"values from {float(low):g} to {float(high):g}",
                "give the binary label or the IoU of each entry, not its class",
            )


def check_delta(delta: float, *, zero_allowed: bool = False) -> None:
    """Raise InputError unless delta is a width."""
    if not (math.isfinite(delta) and (delta > 0 or (zero_allowed and delta == 0))):
        bound = ">= 0" if zero_allowed else "> 0"
        raise InputError(f"a finite delta {bound}", repr(delta), "the papers use 1.0 or 0.5")


def check_eps(eps: float) -> None:
    """Raise InputError unless eps is a small number >= 0."""
    if not (math.isfinite(eps) and eps >= 0):
        raise InputError("a finite eps >= 0", repr(eps), "leave it at its default")


def check_localization_errors(errors: Tensor, targets: Tensor) -> None:
    """Raise InputError unless there is one finite error >= 0 per positive."""
    count = int((targets > 0).sum())
    if not isinstance(errors, Tensor) or errors.shape != (count,):
        got = f"shape {list(errors.shape)}" if isinstance(errors, Tensor) else type(errors).__name__
        raise InputError(
            f"localization_errors of shape [{count}], one per positive in flat order",
            got,
            "select the positives: errors[targets > 0]",
        )
    if not errors.is_floating_point():
        raise InputError("floating-point localization_errors", str(errors.dtype), "use .float()")
    if count:
        low, high = torch.aminmax(errors.detach())
        if not bool((low >= 0) & torch.isfinite(high)):
            raise InputError(
                "finite localization_errors >= 0",
                f"values from {float(low):g} to {float(high):g}",
                "use 1 - GIoU, clamped at 0",
            )
