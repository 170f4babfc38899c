"""IoU, GIoU and the weighted mean that the adapters share; torch only.

GIoU: Rezatofighi et al., CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Of an area in pixels or in shares of an image: far below that of any object.
_SMALLEST_AREA = 1e-9


def _areas(boxes: Tensor, truths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas [P] of intersection, union and enclosing box."""

    low, high = (
        torch.maximum(boxes[:, :2], truths[:, :2]),
        torch.minimum(boxes[:, 2:], truths[:, 2:]),
    )
    inner = (high - low).clamp(min=0).prod(1)
    low, high = (
        torch.minimum(boxes[:, :2], truths[:, :2]),
        torch.maximum(boxes[:, 2:], truths[:, 2:]),
    )
    outer = (high - low).prod(1)
    # Not clamped: at 0 that would stop the gradient of a box without width.
    own = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (truths[:, 2:] - truths[:, :2]).prod(1)
    return inner, (own - inner).clamp(min=_SMALLEST_AREA), outer.clamp(min=_SMALLEST_AREA)


def aligned_iou(boxes: Tensor, truths: Tensor) -> Tensor:
    """Return the IoU [P] of each box with its ground truth, detached.

    Args:
        boxes: predicted, xyxy [P, 4].
        truths: matched ground truth, xyxy [P, 4].
    """
    inner, union, _ = _areas(boxes.detach(), truths)
    return (inner / union).clamp(0, 1)


def giou_errors(boxes: Tensor, truths: Tensor) -> Tensor:
    """Return 1 - GIoU [P] of each box with its ground truth, in 0..2, with the graph of ``boxes``.

    Args:
        boxes: predicted, xyxy [P, 4].
        truths: matched ground truth, xyxy [P, 4].
    """
    inner, union, outer = _areas(boxes, truths)
    # Rounding can put the GIoU of equal boxes a digit above 1.
    return (2 - inner / union - union / outer).clamp(min=0)


def weighted_mean(errors: Tensor, weights: Tensor) -> Tensor:
    """Return sum(w e) / sum(w) of [P] and [P]; 0 with a graph where the weights vanish."""
    total = weights.sum()
    return (errors * weights).sum() / torch.where(total < 1e-10, torch.ones_like(total), total)
