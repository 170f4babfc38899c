"""ResNet with a bias in the stem."""

from __future__ import annotations

import torch
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class StemBiasResNet(ResNet):
    """mmdet's ResNet whose first convolution has a bias, as the original ResNet-50 release has."""

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        self.conv1.register_parameter("bias", nn.Parameter(torch.zeros(stem_channels)))
