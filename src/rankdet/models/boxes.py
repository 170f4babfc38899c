"""Box terms that heads and loss steps share: IoU, GIoU, weighting, a factor on gradients.

GIoU: Rezatofighi et al., CVPR 2019. The epsilons are those of the official code of each loss.
"""

from __future__ import annotations

import torch
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from rankdet.errors import InputError


def aligned_iou(boxes: Tensor, targets: Tensor) -> Tensor:
    """Return the IoU of box i with target i, detached: (P, 4), (P, 4) -> (P)."""
    return bbox_overlaps(boxes.detach(), targets, is_aligned=True).clamp(0, 1)


def giou_errors(boxes: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - GIoU of box i with target i, with gradient: (P, 4), (P, 4) -> (P) in 0..2.

    Areas below 1e-6 count as 1e-6, as in mmdet (and in the Rank & Sort code).
    """
    return 1 - bbox_overlaps(boxes, targets, mode="giou", is_aligned=True, eps=1e-6)


def giou_errors_with_added_eps(boxes: Tensor, targets: Tensor, eps: float = 1e-6) -> Tensor:
    """Return 1 - GIoU with ``eps`` added to both areas: (P, 4), (P, 4) -> (P).

    The convention of mmdet 2.0 (the aLRP and Parameterized AP code). On a unit anchor a small box
    has an area of 3e-4, and the two conventions then differ by what float32 can tell.
    """
    inner = (torch.min(boxes, targets)[:, 2:] - torch.max(boxes, targets)[:, :2]).clamp(min=0)
    outer = (torch.max(boxes, targets)[:, 2:] - torch.min(boxes, targets)[:, :2]).clamp(min=0)
    sizes = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    overlap = inner.prod(1)
    union = sizes[0].prod(1) + sizes[1].prod(1) - overlap + eps
    enclosing = outer.prod(1) + eps
    return 1 - overlap / union + (enclosing - union) / enclosing


def giou_qualities(boxes: Tensor, targets: Tensor) -> Tensor:
    """Return (GIoU + 1) / 2, with gradient: (P, 4), (P, 4) -> (P) in 0..1.

    The localization quality of Parameterized AP Loss (Tao et al., NeurIPS 2021, official code).
    """
    # Rounding can put the GIoU of equal boxes a digit above 1.
    return (1 - giou_errors_with_added_eps(boxes, targets) / 2).clamp(0, 1)


def decode_on_unit_anchor(coder, deltas: Tensor) -> Tensor:
    """Decode deltas (P, 4) on a unit anchor at the origin, as the official anchor heads do.

    IoU and GIoU do not depend on that frame, and small boxes far from the origin lose no digits.
    """
    unit = deltas.new_tensor([-0.5, -0.5, 0.5, 0.5]).expand(len(deltas), 4)
    return coder.decode(unit, deltas)


def score_weighted_mean(errors: Tensor, weights: Tensor, eps: float = 1e-10) -> Tensor:
    """Return sum(w e) / sum(w); the divisor is 1 where the weights vanish (P), (P) -> scalar."""
    total = weights.sum()
    return (errors * weights).sum() / torch.where(total < eps, torch.ones_like(total), total)


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return values.view_as(values)

    @staticmethod
    def backward(ctx, incoming: Tensor) -> tuple[Tensor, None]:
        return incoming * ctx.scale, None


def scale_gradient(values: Tensor, scale: float) -> Tensor:
    """Return ``values`` unchanged; what flows back through them is multiplied by ``scale``.

    At the outputs of the last regression layer it acts on everything before: that layer, the
    tower, and the features that both branches share. It replaces the weight of the box loss,
    which Parameterized AP Loss does not have as a term (Tao et al., NeurIPS 2021, official code).
    """
    return values if scale == 1 else _Scaled.apply(values, scale)


def check_gradient_scale(scale: float) -> float:
    """Return a ``box_gradient_scale``.

    Raises:
        InputError: unless it is positive and finite.
    """
    if not 0 < scale < float("inf"):
        raise InputError("box_gradient_scale > 0", repr(scale), "1 leaves gradients alone")
    return scale
