"""A factor on gradients: identity forward, multiplied backward."""

from __future__ import annotations

import torch
from torch import Tensor

from rankdet.errors import InputError


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(ctx, incoming: Tensor) -> tuple[Tensor, None]:
        return incoming * ctx.scale, None


def scale_gradient(values: Tensor, scale: float) -> Tensor:
    """Return ``values`` unchanged; what flows back through them is multiplied by ``scale``."""
    return values if scale == 1 else _Scaled.apply(values, scale)


class ScaledBoxGradient:
    """Mixin in front of a head: the gradient of its box branch is multiplied by a factor.

    The factor acts at the outputs of the last regression layer, hence on everything before it:
    that layer, the tower, and the features that both branches share. It stands for the weight of
    the box loss, which Parameterized AP Loss does not have as a term (Tao et al., NeurIPS 2021).
    Source: LOSSES.md 6, item 6.

    Args:
        box_gradient_scale: 4.1231 (RetinaNet), 1.6950 (RPN) and 7.1324 (RoI) as published.
    """

    def __init__(self, *args, box_gradient_scale: float = 1.0, **kwargs) -> None:
        if not 0 < box_gradient_scale < float("inf"):
            raise InputError(
                "box_gradient_scale > 0", repr(box_gradient_scale), "1 leaves gradients alone"
            )
        super().__init__(*args, **kwargs)
        self.box_gradient_scale = box_gradient_scale

    def scale_boxes(self, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return (logits, deltas) of a head, the deltas behind the factor."""
        logits, deltas = outputs
        return logits, scale_gradient(deltas, self.box_gradient_scale)
