"""Boxes that name their last pixel: every number by hand."""

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import RandomFlip

from rankdet.models.data import LastPixelBoxes, LoadLastPixelAnnotations, OneFactorResize


def loaded(*boxes, size=(40, 60)):
    """An image of ``size`` (height, width) with boxes x1, y1, x2, y2 in mmdet 3's convention."""
    instances = [dict(bbox=list(box), bbox_label=3, ignore_flag=0) for box in boxes]
    results = dict(
        img=np.zeros((*size, 3), np.uint8), img_shape=size, ori_shape=size, instances=instances
    )
    return LoadLastPixelAnnotations(with_bbox=True)(results)


def numbers(results):
    return results["gt_bboxes"].tensor.tolist()


def test_the_last_pixel_is_one_before_the_edge():
    results = loaded((10, 5, 30, 25), (0, 0, 60, 40))
    assert isinstance(results["gt_bboxes"], LastPixelBoxes)
    assert numbers(results) == [[10, 5, 29, 24], [0, 0, 59, 39]]
    assert numbers(loaded()) == []


def test_flipping_keeps_the_width():
    assert numbers(RandomFlip(prob=1.0)(loaded((10, 5, 30, 25)))) == [[30, 5, 49, 24]]


def test_resizing_follows_one_factor_and_clips_to_the_last_pixel():
    # 60 x 41 to a long side of 133: 133 / 60; the height becomes 41 * 2.21667 = 90.88, rounded 91.
    results = OneFactorResize(scale=(133, 100), keep_ratio=True)(
        loaded((10, 5, 30, 25), (0, 0, 60.9, 41.9), size=(41, 60))
    )
    factor = 133 / 60
    assert results["img"].shape == (91, 133, 3)
    assert results["scale_factor"] == pytest.approx((factor, factor))
    first, second = results["gt_bboxes"].tensor
    torch.testing.assert_close(first, torch.tensor([10.0, 5, 29, 24]) * factor)
    torch.testing.assert_close(second, torch.tensor([0.0, 0, 59.9 * factor, 90]).clamp(max=132))
