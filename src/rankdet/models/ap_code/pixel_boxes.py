"""Boxes that name their last pixel, and boxes that name their edge.

A box of ``pixel_offset = 1`` (x1, y1, x2, y2) covers the pixels x1..x2, so it is x2 - x1 + 1 wide.
mmdet's boxes are x2 - x1 wide. Data and detections are in mmdet's convention, the heads of this
code base compute in the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

PIXEL_OFFSET = 1.0


def to_pixels(boxes: Tensor, pixel_offset: float = PIXEL_OFFSET) -> Tensor:
    """Return boxes (..., 4) with edges as boxes with last pixels."""
    return torch.cat([boxes[..., :2], boxes[..., 2:] - pixel_offset], -1)


def to_edges(boxes: Tensor, pixel_offset: float = PIXEL_OFFSET) -> Tensor:
    """Return boxes (..., 4) with last pixels as boxes with edges."""
    return to_pixels(boxes, -pixel_offset)


def sizes(boxes: Tensor, pixel_offset: float = PIXEL_OFFSET) -> Tensor:
    """Return widths and heights (..., 2)."""
    return boxes[..., 2:] - boxes[..., :2] + pixel_offset
