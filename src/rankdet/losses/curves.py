"""The functions of Parameterized AP Loss of one argument: quality curves I(u), with slopes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Value and slope of a curve at u.
Curve = Callable[[Tensor], tuple[Tensor, Tensor]]


def piecewise_linear(row: list[float]) -> Curve:
    """The line through the control points; a point of a corner belongs to the piece on its left."""
    x, y = row[::2], row[1::2]

    def curve(u: Tensor) -> tuple[Tensor, Tensor]:
        starts, heights = u.new_tensor(x), u.new_tensor(y)
        run, rise = starts.diff(), heights.diff()
        slopes = torch.where(run > 0, rise / run, 0.0)
        piece = torch.searchsorted(starts[1:-1].contiguous(), u.detach())
        return heights[piece] + slopes[piece] * (u - starts[piece]), slopes[piece]

    return curve


def sigmoid(u: Tensor) -> tuple[Tensor, Tensor]:
    """I(u) = sigma(2 u - 1)."""
    value = torch.sigmoid(2 * u - 1)
    return value, 2 * value * (1 - value)


def linear(u: Tensor) -> tuple[Tensor, Tensor]:
    """I(u) = u."""
    return u, torch.ones_like(u)


def square(u: Tensor) -> tuple[Tensor, Tensor]:
    """I(u) = u^2."""
    return u * u, 2 * u
