"""The box coder for boxes with last pixels."""

from __future__ import annotations

import torch
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.registry import TASK_UTILS
from torch import Tensor

from rankdet.models.ap_code.pixel_boxes import sizes


@TASK_UTILS.register_module()
class PixelDeltaXYWHBBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's coder with widths of x2 - x1 + ``pixel_offset``, in the precision of the anchors.

    A decoded box keeps its centre and at least one pixel; its size has no upper limit.

    Args:
        pixel_offset: what a box is wider than x2 - x1.
        settings: as in mmdet.
    """

    def __init__(self, *, pixel_offset: float = 1.0, **settings) -> None:
        super().__init__(**settings)
        self.pixel_offset = pixel_offset

    def encode(self, bboxes: Tensor, gt_bboxes: Tensor) -> Tensor:
        """Return deltas (n, 4) that move boxes (n, 4) to ground truth (n, 4)."""
        own = sizes(bboxes, self.pixel_offset)
        # No object is smaller than a pixel; a crop may leave less.
        wanted = sizes(gt_bboxes, self.pixel_offset).clamp(min=self.pixel_offset)
        shift = (gt_bboxes[:, :2] + wanted / 2) - (bboxes[:, :2] + own / 2)
        deltas = torch.cat([shift / own, (wanted / own).log()], 1)
        return deltas / self._stds(deltas)

    def decode(
        self, bboxes: Tensor, pred_bboxes: Tensor, max_shape: tuple[int, int] | None = None
    ) -> Tensor:
        """Return boxes (n, 4) from deltas (n, 4); clipped to the pixels of ``max_shape`` (h, w)."""
        own = sizes(bboxes, self.pixel_offset)
        deltas = pred_bboxes.to(bboxes.dtype) * self._stds(bboxes)
        middle = bboxes[:, :2] + (own - self.pixel_offset) / 2 + deltas[:, :2] * own
        found = (deltas[:, 2:].exp() * own).clamp(min=self.pixel_offset)
        half = (found - self.pixel_offset) / 2
        boxes = torch.cat([middle - half, middle + half], 1)
        if max_shape is None or not self.clip_border:
            return boxes
        height, width = max_shape[:2]
        last = boxes.new_tensor([width, height, width, height]) - self.pixel_offset
        return torch.min(boxes.clamp(min=0), last)

    def _stds(self, like: Tensor) -> Tensor:
        # Rounded to float32 first, as in the official code: visible in float64 only.
        return torch.tensor(self.stds, dtype=torch.float32, device=like.device).to(like.dtype)
