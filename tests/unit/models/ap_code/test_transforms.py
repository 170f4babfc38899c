"""The input pipeline: augmentation and resizing."""

import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.utils import register_all_modules

from rankdet.models.ap_code.data import (
    LightingNoise,
    OneOverlapCrop,
    RandomInterpolationResize,
    ResizeByFactor,
)
from rankdet.models.build import load_config


def sample(height=60, width=90, boxes=((10, 10, 40, 50), (60, 5, 80, 25))):
    image = np.random.default_rng(0).uniform(0, 255, (height, width, 3)).astype(np.float32)
    return dict(
        img=image,
        img_shape=(height, width),
        ori_shape=(height, width),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), dtype=bool),
    )


@pytest.mark.parametrize(
    ("size", "factor"), [((120, 173), 500 / 120), ((90, 200), 833 / 200), ((210, 140), 500 / 140)]
)
def test_one_factor_for_both_axes(size, factor):
    found = ResizeByFactor(short_side=500)(sample(*size))
    assert found["scale_factor"] == pytest.approx((factor, factor))
    assert found["img_shape"] == tuple(round(side * factor) for side in size)
    rounded = [found["img_shape"][1] / size[1], found["img_shape"][0] / size[0]] * 2
    expected = torch.tensor([[10.0, 10, 40, 50], [60, 5, 80, 25]]) * torch.tensor(rounded)
    torch.testing.assert_close(found["gt_bboxes"].tensor, expected)


def test_resizing_before_or_after_the_mean_is_the_same():
    plain, shifted = sample(120, 173), sample(120, 173)
    shifted["img"] = shifted["img"] - np.float32(103)
    resize = ResizeByFactor(short_side=500)
    difference = resize(plain)["img"] - resize(shifted)["img"]
    assert np.abs(difference - 103).max() < 1e-3


def test_interpolation_changes_from_image_to_image():
    resize = RandomInterpolationResize(scale=(32, 32), keep_ratio=False)
    seen = set()
    for _ in range(60):
        assert resize(sample())["img"].shape == (32, 32, 3)
        seen.add(resize.interpolation)
    assert seen == set(RandomInterpolationResize.modes)


def test_lighting_is_one_colour_and_half_of_the_images_get_none():
    np.random.seed(0)
    colours = []
    for _ in range(400):
        results = sample(4, 4)
        difference = LightingNoise()(dict(results))["img"] - results["img"]
        assert np.abs(difference - difference[0, 0]).max() < 1e-3
        colours.append(difference[0, 0])
    colours = np.array(colours)
    changed = np.abs(colours).max(1) > 0
    assert 150 < changed.sum() < 250
    # The first component is nearly grey: all three channels move together.
    assert np.corrcoef(colours[changed].T).min() > 0.5
    assert 2 < colours[changed].std() < 5


def test_a_crop_needs_one_good_box_only():
    crop = OneOverlapCrop(min_ious=(0.9,))
    results = sample(60, 90, ((0, 0, 50, 60), (80, 50, 88, 58)))
    patch = np.array([0, 0, 50, 60])
    assert crop._crop(results, patch, 0.9)
    assert results["gt_bboxes"].tensor.tolist() == [[0, 0, 50, 60]]
    assert results["gt_bboxes_labels"].tolist() == [0] and len(results["gt_ignore_flags"]) == 1
    assert results["img"].shape[:2] == results["img_shape"] == (60, 50)
    assert not crop._crop(sample(), np.array([50, 30, 60, 40]), 0.0)  # no centre inside
    assert not crop._crop(sample(), np.array([0, 0, 90, 60]), 0.9)  # no box is that large


def test_crops_leave_boxes_with_a_centre_inside_and_patches_of_moderate_shape():
    np.random.seed(0)
    crop = OneOverlapCrop(min_ious=(0.1, 0.3))
    for _ in range(100):
        found = crop(sample())
        height, width = found["img_shape"]
        boxes = found["gt_bboxes"].tensor
        assert len(boxes) == len(found["gt_bboxes_labels"]) >= 1
        assert (boxes >= 0).all() and (boxes <= torch.tensor([width, height] * 2)).all()
        assert 0.45 < height / width < 2.2
    empty = crop(sample(boxes=()))
    assert len(empty["gt_bboxes"]) == 0


@pytest.mark.parametrize(("entry", "side"), [("ext_ap_r50_500", 512), ("alrp_ap_r101_800", 800)])
def test_the_training_pipeline_of_a_row_gives_squares(entry, side):
    np.random.seed(1)
    register_all_modules()
    steps = load_config(entry).train_dataloader.dataset.pipeline
    names = [step.type for step in steps]
    assert names[0] == "LoadImageFromFile" and names[-1] == "PackDetInputs"
    results = sample(120, 160)
    for step in steps[2:]:
        results = TRANSFORMS.build(step)(results)
    assert results["inputs"].shape == (3, side, side)
    assert results["inputs"].dtype == torch.float32
    assert len(results["data_samples"].gt_instances) >= 1
