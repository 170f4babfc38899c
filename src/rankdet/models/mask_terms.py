"""Mask targets that the one-stage heads share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resized(instances, size: tuple[int, int]) -> Tensor:
    """Return an image's ground-truth masks, bilinearly resized: (n, H, W) -> (n, h, w) in 0..1."""
    full = instances.masks.to_tensor(dtype=torch.float32, device=instances.bboxes.device)
    return F.interpolate(full[:, None], size, mode="bilinear", align_corners=False)[:, 0]
