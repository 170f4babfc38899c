"""IoU of boxes with last pixels."""

from __future__ import annotations

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from rankdet.errors import InputError
from rankdet.models.ap_code.pixel_boxes import sizes


@TASK_UTILS.register_module()
class PixelOverlaps2D:
    """IoU as mmdet's assigners ask for it, with widths of x2 - x1 + ``pixel_offset``.

    Args:
        pixel_offset: what a box is wider than x2 - x1.
    """

    def __init__(self, pixel_offset: float = 1.0) -> None:
        self.pixel_offset = pixel_offset

    def __call__(
        self, bboxes1: Tensor, bboxes2: Tensor, mode: str = "iou", is_aligned: bool = False
    ) -> Tensor:
        """Return IoU (m, n) of boxes (m, 4), (n, 4); (m) if aligned."""
        if mode != "iou":
            raise InputError("mode='iou'", repr(mode), "ignored regions have no part in this code")
        first, second = (bboxes1, bboxes2) if is_aligned else (bboxes1[:, None], bboxes2[None])
        corners = torch.min(first[..., 2:], second[..., 2:]) - torch.max(
            first[..., :2], second[..., :2]
        )
        overlap = (corners + self.pixel_offset).clamp(min=0).prod(-1)
        areas = (sizes(boxes, self.pixel_offset).prod(-1) for boxes in (first, second))
        return overlap / (sum(areas) - overlap).clamp(min=1e-8)
