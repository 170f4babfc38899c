"""What the cases of the mask heads share."""

from __future__ import annotations

import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from tests.golden.heads.cases import Case
from tests.golden.place import drawn


def masked_truth(case: Case) -> list[InstanceData]:
    """Return boxes, labels and masks of each image."""
    truth = case.ground_truth()
    for image, instances in enumerate(truth):
        masks = case.inputs[f"gt_masks_{image}"]
        height, width = masks.shape[1:] if len(masks) else case.metas()[image]["pad_shape"]
        masks = masks.reshape(-1, height, width)
        instances.masks = BitmapMasks(masks, height, width)
    return truth


def emptied(truth: list[InstanceData]) -> list[InstanceData]:
    """Return the same images without their objects."""
    return [instances[torch.zeros(len(instances), dtype=torch.bool)] for instances in truth]


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    """Return random predictions as a leaf, where a case that raises holds none."""
    return drawn(generator, *shape).requires_grad_()
