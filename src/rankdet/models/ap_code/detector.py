"""The detector by its own name."""

from __future__ import annotations

from mmdet.models.detectors import RetinaNet
from mmdet.registry import MODELS


@MODELS.register_module()
class PixelRetinaNet(RetinaNet):
    """mmdet's RetinaNet; the name tells apart the models whose checkpoints have AP Loss's names."""
