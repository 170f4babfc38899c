"""torchvision's kernels under mmcv's names, where they compute what mmcv's compute: NMS, RoIAlign.

They are faster on a GPU. Their backward pass adds with atomics there; so where torch's
deterministic algorithms are asked for, and for what torchvision does not have (an offset of 1, the
maximum of RoIAlign), the plain operators are used.

torchvision orders boxes of equal scores by index; mmcv takes torch's order. So boxes are ordered
here, and torchvision gets scores that fall by one. On a GPU it divides before it compares with the
threshold and mmcv multiplies: pairs of boxes whose IoU is within a rounding of the threshold may
be decided otherwise, and so are boxes with x2 < x1.

Deformable convolution is not taken from torchvision: where a sample lies exactly at -1, its
gradient of the offset is the slope to the image, mmcv's is 0. With padding and offsets of 0, as
each training begins, that is the whole border.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.extension import _assert_has_ops
from torchvision.ops import nms as torchvision_nms

from rankdet.ops import nms as plain_nms
from rankdet.ops import roi_align as plain_roi_align

_assert_has_ops()  # a torchvision of another torch imports, and has no kernels
_KERNELS = torch.ops.torchvision


def _deterministic(tensor: Tensor) -> bool:
    return tensor.device.type != "cpu" and torch.are_deterministic_algorithms_enabled()


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that are kept, as `rankdet.ops.nms.nms`."""
    if offset or boxes.dtype != torch.float32 or len(boxes) > 1 << 24:
        return plain_nms.nms(boxes, scores, iou_threshold, offset)
    order = scores.detach().sort(0, descending=True)[1]
    falling = torch.arange(len(order), 0, -1, dtype=torch.float32, device=boxes.device)
    threshold = float(np.float32(iou_threshold))  # as compiled mmcv reads it
    kept: Tensor = torchvision_nms(boxes.detach()[order], falling, threshold)
    return order[kept]


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the pooled features to ``output``, as `rankdet.ops.roi_align`."""
    if pool_mode == plain_roi_align.MAX:
        plain_roi_align.roi_align_forward(
            input, rois, output, argmax_y, argmax_x, aligned_height, aligned_width, spatial_scale,
            sampling_ratio, pool_mode, aligned,
        )  # fmt: skip
        return
    plain_roi_align.corners_of(rois, spatial_scale, aligned)  # refuses what mmcv refuses
    scale = float(np.float32(spatial_scale))
    output.copy_(
        _KERNELS.roi_align(
            input, rois, scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradients of the features to ``grad_input``, as `rankdet.ops.roi_align`."""
    if pool_mode == plain_roi_align.MAX or _deterministic(grad_output):
        plain_roi_align.roi_align_backward(
            grad_output, rois, argmax_y, argmax_x, grad_input, aligned_height, aligned_width,
            spatial_scale, sampling_ratio, pool_mode, aligned,
        )  # fmt: skip
        return
    scale = float(np.float32(spatial_scale))
    grad_input.add_(
        _KERNELS._roi_align_backward(
            grad_output, rois, scale, aligned_height, aligned_width, *grad_input.shape,
            sampling_ratio, aligned,
        )
    )  # fmt: skip
