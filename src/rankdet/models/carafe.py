"""CARAFE upsampling that also runs where mmcv has no kernel for it: on a CPU.

Source: Wang et al., CARAFE: Content-Aware ReAssembly of FEatures, ICCV 2019, equation 2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.ops.carafe import CARAFEPack
from mmdet.models.necks import FPN_CARAFE
from mmdet.registry import MODELS
from mmengine.model import ModuleList
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
    windows = F.unfold(features, size, padding=size // 2)
    windows = windows.view(batch, groups, channels // groups, size**2, height, width)
    # For each old pixel: (channels, places of the window) @ (places, its scale^2 new pixels).
    weights = kernels.view(batch, groups, size**2, height, scale, width, scale)
    weights = weights.permute(0, 1, 3, 5, 2, 4, 6).flatten(5)
    new = windows.permute(0, 1, 4, 5, 2, 3) @ weights
    new = new.view(batch, groups, height, width, channels // groups, scale, scale)
    new = new.permute(0, 1, 4, 2, 5, 3, 6)
    return new.reshape(batch, channels, scale * height, scale * width)


class AnyDeviceCarafe(CARAFEPack):
    """mmcv's CARAFE with the same parameters; mmcv's kernel on a GPU, `reassemble` elsewhere."""

    def feature_reassemble(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return features (B, C, scale h, scale w) of x (B, C, h, w) and kernels."""
        if x.is_cuda:
            return super().feature_reassemble(x, mask)
        return reassemble(x, mask, self.up_kernel, self.up_group, self.scale_factor)


@MODELS.register_module()
class AnyDeviceFPNCarafe(FPN_CARAFE):
    """mmdet's FPN_CARAFE: same arguments, same parameters and names, on any device."""

    upsample_modules: ModuleList

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.upsample_modules = ModuleList(_on_any_device(m) for m in self.upsample_modules)


def _on_any_device(module: torch.nn.Module) -> torch.nn.Module:
    if not isinstance(module, CARAFEPack):
        return module
    return AnyDeviceCarafe(
        module.channels,
        module.scale_factor,
        module.up_kernel,
        module.up_group,
        module.encoder_kernel,
        module.encoder_dilation,
        module.compressed_channels,
    )
