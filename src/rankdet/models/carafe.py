"""CARAFE upsampling that also runs where compiled mmcv has no kernel for it: on a CPU."""

from __future__ import annotations

import torch
from mmcv.ops.carafe import CARAFEPack
from mmdet.models.necks import FPN_CARAFE
from mmdet.registry import MODELS
from mmengine.model import ModuleList
from torch import Tensor

from rankdet.ops.carafe import reassemble


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
