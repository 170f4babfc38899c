"""CARAFE upsampling, forward and backward, on any device; compiled mmcv has it on a GPU only.

Source: Wang et al., CARAFE: Content-Aware ReAssembly of FEatures, ICCV 2019, equation 2. Each new
pixel is a weighted sum of the pixels around its old place: a product of matrices for each old
pixel. Gradients are products as well, put together by torch's fold, which adds in a fixed order.

The operators have mmcv's names, arguments and order of arguments, and write to tensors that the
caller made: ``features`` [B, C, h, w], ``masks`` [B, groups size^2, scale h, scale w], ``output``
[B, C, scale h, scale w]. ``rfeatures`` keeps the features with the channels last for the backward
pass; the other work space (``r...``) is not used.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rankdet.errors import InputError


def reassemble(features: Tensor, kernels: Tensor, size: int, groups: int, scale: int) -> Tensor:
    """Upsample: each new pixel is a weighted sum of the size x size pixels around its old place.

    Pixels outside the image count as 0. Memory: size^2 times the features.

    Args:
        features: (B, C, h, w).
        kernels: weights (B, groups size^2, scale h, scale w), one kernel for each new pixel and
            each group of C / groups successive channels.
        size: side of the window, odd.
        groups: groups of channels.
        scale: factor of the upsampling.

    Returns:
        (B, C, scale h, scale w), contiguous.

    Raises:
        InputError: if the shapes do not fit together.
    """
    batch, channels, height, width = features.shape
    shape = (batch, groups * size**2, scale * height, scale * width)
    if size % 2 != 1 or channels % groups or kernels.shape != shape:
        raise InputError(
            f"an odd window, channels in equal groups, kernels {shape}",
            f"window {size}, {channels} channels in {groups} groups, {tuple(kernels.shape)}",
            "give kernels as the content encoder makes them",
        )
    windows = _windows(features, size, groups)
    return _to_image(windows @ _by_pixel(kernels, groups, height, width), height)


def _windows(features: Tensor, size: int, groups: int) -> Tensor:
    """The pixels around each pixel: [B, groups, h w, C / groups, size^2]."""
    batch, channels = features.shape[:2]
    windows = F.unfold(features, size, padding=size // 2)
    return windows.view(batch, groups, channels // groups, size**2, -1).permute(0, 1, 4, 2, 3)


def _by_pixel(values: Tensor, groups: int, height: int, width: int) -> Tensor:
    """Order [B, groups n, scale h, scale w] as [B, groups, h w, n, scale^2]."""
    batch, _, high, wide = values.shape
    parts = values.view(batch, groups, -1, height, high // height, width, wide // width)
    return parts.permute(0, 1, 3, 5, 2, 4, 6).flatten(5).flatten(2, 3)


def _to_image(values: Tensor, height: int) -> Tensor:
    """The inverse of `_by_pixel`: (B, groups n, scale h, scale w), contiguous."""
    batch, groups, pixels, each, squared = values.shape
    width, scale = pixels // height, round(squared**0.5)
    parts = values.reshape(batch, groups, height, width, each, scale, scale)
    parts = parts.permute(0, 1, 4, 2, 5, 3, 6)
    return parts.reshape(batch, groups * each, scale * height, scale * width)


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the upsampled features to ``output``, and the features to ``rfeatures``."""
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)
    batch, channels, height, width = features.shape
    rfeatures.resize_(batch, height, width, channels)
    rfeatures.copy_(features.detach().permute(0, 2, 3, 1))


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the gradients of features and masks to ``bottom_grad`` and ``mask_grad``."""
    features = rfeatures.permute(0, 3, 1, 2)
    bottom_grad.zero_()
    mask_grad.zero_()
    carafe_naive_backward(
        top_grad, features, masks, bottom_grad, mask_grad, kernel_size, group_size, scale_factor
    )


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the upsampled features to ``output``."""
    parts = zip(features.detach().split(1), masks.detach().split(1), output, strict=True)
    for image, kernels, result in parts:  # one at a time, for the memory
        result.copy_(reassemble(image, kernels, kernel_size, group_size, scale_factor)[0])


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of features and masks to ``bottom_grad`` and ``mask_grad``."""
    height, width = features.shape[2:]
    for image in range(len(features)):
        one = slice(image, image + 1)
        grads = _by_pixel(top_grad[one], group_size, height, width)
        windows = _windows(features[one], kernel_size, group_size)
        of_masks = windows.transpose(3, 4) @ grads
        mask_grad[one].add_(_to_image(of_masks, height))
        kernels = _by_pixel(masks[one], group_size, height, width)
        of_windows = (grads @ kernels.transpose(3, 4)).permute(0, 1, 3, 4, 2)
        of_windows = of_windows.reshape(1, -1, height * width)
        bottom_grad[one].add_(
            F.fold(of_windows, (height, width), kernel_size, padding=kernel_size // 2)
        )
