"""Mask terms that the ranking heads share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dice_errors(scores: Tensor, targets: Tensor, eps: float = 1e-5) -> Tensor:
    """Return 1 - Dice of mask i with target i: (P, h, w), (P, h, w) -> (P) in 0..1.

    Squares stand in the denominator (Milletari et al., 2016); ``eps`` is added to it once.
    """
    scores, targets = scores.flatten(1), targets.flatten(1)
    overlap = (scores * targets).sum(1)
    return 1 - 2 * overlap / (scores.square().sum(1) + targets.square().sum(1) + eps)


def resized(instances, size: tuple[int, int]) -> Tensor:
    """Return an image's ground-truth masks, bilinearly resized: (n, H, W) -> (n, h, w) in 0..1."""
    full = instances.masks.to_tensor(dtype=torch.float32, device=instances.bboxes.device)
    return F.interpolate(full[:, None], size, mode="bilinear", align_corners=False)[:, 0]
