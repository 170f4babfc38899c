"""The rows of the AP-Loss code base: one changed setting is one difference, in its field."""

import copy

import pytest

from rankdet.training.build import build_model
from rankdet.training.facts import differences
from rankdet.training.facts.ap_code import WORDS
from tests.parity.rows import CATALOGUE, paper
from tests.parity.test_differences import set_at

ALRP, AP = "alrp_ap_r101_800", "ext_ap_r50_500"
TRAINING = "train_dataloader.dataset.pipeline"
CHANGES = {
    "backbone": ("model.backbone.depth", 50),
    "neck": ("model.neck.num_outs", 4),
    "frozen_stages": ("model.backbone.norm_cfg.requires_grad", True),
    "anchors": ("model.bbox_head.anchor_generator.scales_per_octave", 3),
    "box_coder_stds": ("model.bbox_head.bbox_coder.target_stds", [1.0] * 4),
    "head_type": ("model.bbox_head.type", "RankedRetinaHead"),
    "assigner": ("model.train_cfg.assigner.iou_calculator.type", "BboxOverlaps2D"),
    "sampler": ("model.train_cfg.sampler", dict(type="RandomSampler", num=256)),
    "test_scale": ("model.data_preprocessor.pad_size_divisor", 1),
    "augmentations": (f"{TRAINING}.5.min_ious", (0.1, 0.3, 0.5, 0.7, 0.9)),
    "img_mean": ("model.data_preprocessor.bgr_to_rgb", True),
    "img_std": ("model.data_preprocessor.std", [58.395, 57.12, 57.375]),
    "to_rgb": ("model.data_preprocessor.bgr_to_rgb", True),
    "lr_policy": ("param_scheduler.1.gamma", 0.5),
    "lr_steps": ("param_scheduler.1.milestones", [75, 95]),
    "warmup": ("param_scheduler.0.type", "LinearLR"),
    "warmup_iters": ("param_scheduler.0.end", 500),
    "warmup_ratio": ("param_scheduler.0.start_factor", 0.001),
    "score_thr": ("model.test_cfg.top_level_score_thr", 0.01),
    "nms": ("model.test_cfg.nms.type", "soft_nms"),
    "nms_pre": ("model.test_cfg.nms_pre", 2000),
    "train_scale": (f"{TRAINING}.7.scale", (512, 512)),
}


def fields_that_differ(entry_id, path, value):
    config = copy.deepcopy(paper(entry_id))
    set_at(config, path, value)
    return {each.field for each in differences(CATALOGUE[entry_id], config, [])}


def test_every_field_with_words_of_its_own_has_a_change():
    assert set(WORDS) <= set(CHANGES) | {"loss_bbox"}


@pytest.mark.parametrize("field", CHANGES)
def test_a_change_is_found(field):
    assert field in fields_that_differ(ALRP, *CHANGES[field])


def test_a_change_of_the_box_loss_is_found():
    assert "loss_bbox" in fields_that_differ(AP, "model.bbox_head.loss_bbox.beta", 0.5)


@pytest.mark.parametrize(
    ("entry", "parameters", "trained"),
    [
        ("alrp_ap_r101_500", 56_379_960, 56_052_216),
        ("alrp_ap_x101_32x8d_500", 100_622_136, 99_994_104),
        ("ext_alrp_ap_r50_500", 37_387_896, 37_112_312),
    ],
)
def test_numbers_of_parameters(entry, parameters, trained):
    """As counted in the official models: stem, first stage and all norm layers stay frozen."""
    found = list(build_model(entry).parameters())
    assert sum(each.numel() for each in found) == parameters
    assert sum(each.numel() for each in found if each.requires_grad) == trained
