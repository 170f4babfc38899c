"""The functions of Parameterized AP Loss of one argument: quality curves I(u), with slopes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rankdet.losses.devices import Constants

# Value and slope of a curve at u.
Curve = Callable[[Tensor], tuple[Tensor, Tensor]]


def piecewise_linear(row: list[float]) -> Curve:
    """The line through the control points; a point of a corner belongs to the piece on its left."""
    x, y = row[::2], row[1::2]
    pieces = []
    for k in range(len(x) - 1):
        run = x[k + 1] - x[k]
        pieces.append((x[k], y[k], (y[k + 1] - y[k]) / run if run > 0 else 0.0))
    constants = Constants(pieces)

    def curve(u: Tensor) -> tuple[Tensor, Tensor]:
        starts, heights, slopes = constants.on(u.device)
        piece = torch.bucketize(u, starts[1:])
        slopes = slopes[piece]
        return heights[piece] + slopes * (u - starts[piece]), slopes

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
