"""Boxes that name their last pixel: conversion, anchors, coder, IoU, assignment.

A box of ``pixel_offset = 1`` (x1, y1, x2, y2) covers the pixels x1..x2, so it is x2 - x1 + 1 wide.
mmdet's boxes are x2 - x1 wide. Data and detections are in mmdet's convention, the heads of this
code base compute in the other.
"""

from __future__ import annotations

import numpy as np
import torch
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.registry import TASK_UTILS
from torch import Tensor

from rankdet.errors import InputError

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


@TASK_UTILS.register_module()
class PixelAnchorGenerator(AnchorGenerator):
    """mmdet's anchors, placed around the middle pixel of a cell and ``pixel_offset`` smaller.

    The first anchor of a level is centered at (stride - 1) / 2, where mmdet's is at 0.

    They are computed, and by default returned, in float64: an object often has several anchors of
    equal IoU, all of which become positive; rounded to float32 most of those ties are lost.

    Args:
        pixel_offset: what a box is wider than x2 - x1.
        settings: as in mmdet; ``octave_base_scale`` and ``scales_per_octave`` are needed.
    """

    def __init__(self, *, pixel_offset: float = 1.0, **settings) -> None:
        self.pixel_offset = pixel_offset
        super().__init__(**settings)

    def gen_single_level_base_anchors(
        self, base_size: int, scales: Tensor, ratios: Tensor, center: tuple | None = None
    ) -> Tensor:
        """Return the anchors (A, 4) of the first cell; by ratio (height / width), then scale."""
        count = self.scales_per_octave
        octaves = np.array([2 ** (i / count) for i in range(count)])
        ratio = ratios.double().numpy()[:, None]
        widths = base_size * self.octave_base_scale * octaves / np.sqrt(ratio)
        half = (np.stack([widths, widths * ratio], -1).reshape(-1, 2) - self.pixel_offset) / 2
        middle = (base_size - self.pixel_offset) / 2
        return torch.from_numpy(np.concatenate([middle - half, middle + half], 1))

    def grid_priors(
        self, featmap_sizes: list[tuple], dtype: torch.dtype = torch.float64, device="cpu"
    ) -> list[Tensor]:
        """Return the anchors of each level (h w A, 4)."""
        return super().grid_priors(featmap_sizes, dtype, device)


@TASK_UTILS.register_module()
class PixelDeltaXYWHBBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's coder with widths of x2 - x1 + ``pixel_offset``, in the precision of the anchors.

    A decoded box keeps its center and at least one pixel; its size has no upper limit.

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


@TASK_UTILS.register_module()
class BestAnchorAssigner(MaxIoUAssigner):
    """mmdet's `MaxIoUAssigner`, but a best anchor keeps the object it overlaps most itself.

    All anchors that share an object's best IoU are positive, however small it is; their class and
    box are those of the anchor's own best object, where mmdet hands them over to the object.

    An object that meets no anchor at all has none (the official rule would take every anchor).
    """

    def __init__(self, **settings) -> None:
        super().__init__(match_low_quality=False, **settings)

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Assign by the IoU of k objects with n anchors (k, n); labels (k)."""
        result = super().assign_wrt_overlaps(overlaps, gt_labels)
        if overlaps.numel() == 0:
            return result
        best_of_object = overlaps.amax(1, keepdim=True)
        is_best = ((overlaps == best_of_object) & (overlaps > 0)).any(0)
        own_best = overlaps.max(0).indices  # the first of equal ones
        result.gt_inds = own_best.add(1).where(is_best, result.gt_inds)
        result.labels = gt_labels[own_best].where(is_best, result.labels)
        return result
