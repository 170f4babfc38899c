"""Ground truth of images that nobody has seen: boxes of all scales, and masks that fill them."""

from __future__ import annotations

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

OBJECTS = 7  # of an image; COCO's mean


def sample(
    size: tuple[int, int], masks: bool, generator: torch.Generator, objects: int = OBJECTS
) -> DetDataSample:
    """Return the ground truth of one image of ``size`` (height, width), of classes below 10."""
    height, width = size
    sides = torch.exp(torch.empty(objects, 2).uniform_(-2.5, -0.3, generator=generator))
    corners = torch.rand(objects, 2, generator=generator) * (1 - sides)
    scale = torch.tensor([width, height])
    boxes = torch.cat([corners * scale, (corners + sides) * scale], 1)
    labels = torch.randint(0, 10, (objects,), generator=generator)
    found = InstanceData(bboxes=boxes, labels=labels)
    if masks:
        planes = torch.zeros(objects, height, width, dtype=torch.uint8)
        for plane, (left, top, right, bottom) in zip(planes, boxes.int().tolist(), strict=True):
            plane[top:bottom, left:right] = 1
        found.masks = BitmapMasks(planes.numpy(), height, width)
    named = dict.fromkeys(("img_shape", "pad_shape", "ori_shape", "batch_input_shape"), size)
    result = DetDataSample(metainfo=dict(named, scale_factor=(1.0, 1.0)))
    result.gt_instances = found
    result.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))
    return result
