"""Options for faster steps: bf16 backbone, channels-last memory, compiled backbone.

They apply only to backbone and neck: heads and losses always get contiguous float32 features, so
they compute the same numbers from the same features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmcv.ops import DeformConv2dPack, ModulatedDeformConv2d
from mmcv.ops.carafe import CARAFEPack
from torch import Tensor

# Their kernels support float32 (and float16), not bfloat16, and need contiguous memory.
OWN_KERNEL = (ModulatedDeformConv2d, DeformConv2dPack, CARAFEPack)


@dataclass(frozen=True)
class Speed:
    """Speed options of a training; by default all are off.

    Attributes:
        bf16: backbone and neck compute in bfloat16 (autocast), their weights stay float32.
        channels_last: backbone and neck keep their channels innermost.
        compiled: torch.compile on the backbone; the first steps take minutes.
    """

    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False

    @property
    def chosen(self) -> dict[str, bool]:
        """The options that are on, for the run's record."""
        return {name: True for name, on in asdict(self).items() if on}


AS_IS = Speed()


def detector_of(model: Any) -> Any:
    """Return the detector itself, also of one that mmengine wrapped for several processes."""
    return getattr(model, "module", model)


def apply_speed(model: Any, speed: Speed) -> None:
    """Apply the options to a detector in place; its state dict does not change."""
    if not speed.chosen:
        return
    if speed.channels_last:
        for part in (model.backbone, model.neck):
            part.to(memory_format=torch.channels_last)
    if speed.bf16 or speed.channels_last:
        for module in model.modules():
            if isinstance(module, OWN_KERNEL):
                module.to(memory_format=torch.contiguous_format)
                module.forward = _plain(module.forward)
    if speed.compiled:
        model.backbone.compile()  # in place: no other names in the state dict
    model.extract_feat = _extract(model.extract_feat, speed)


def _extract(plain: Callable, speed: Speed) -> Callable:
    @functools.wraps(plain)
    def extract_feat(images: Tensor) -> tuple[Tensor, ...]:
        if speed.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=speed.bf16):
            features = plain(images)
        # mmcv's RoIAlign reads memory as if it were contiguous.
        return tuple(level.float().contiguous() for level in features)

    return extract_feat


def _plain(plain: Callable) -> Callable:
    @functools.wraps(plain)
    def forward(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return plain(x.float().contiguous())

    return forward
