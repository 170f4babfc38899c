"""The comparison finds what it is for: one changed setting is one difference, in its field."""

import copy

import pytest

from rankdet.training.facts import FIELDS, differences, resolved_facts
from rankdet.training.facts.words import canonical
from tests.parity.rows import CATALOGUE, paper

RETINA = "alrp_mmdet_alrp_atss_x101_64x4d_dcn_800"
TWO_STAGE = "alrp_mmdet_ce_l1_frcnn_r50_500"


def set_at(config, path, value):
    *parents, last = path.split(".")
    for name in parents:
        config = config[int(name)] if name.isdigit() else config[name]
    config[int(last) if last.isdigit() else last] = value


CHANGES = {
    "loss_cls": ("model.bbox_head.loss_cls.type", "ApLoss"),
    "loss_hparams": ("model.bbox_head.self_balance.period", 7330),
    "backbone": ("model.backbone.depth", 50),
    "neck": ("model.neck.type", "PAFPN"),
    "dcn": ("model.backbone.dcn.deform_groups", 4),
    "frozen_stages": ("model.backbone.frozen_stages", -1),
    "norm_eval": ("model.backbone.norm_eval", False),
    "pretrained": ("model.backbone.init_cfg.checkpoint", "torchvision://resnet101"),
    "anchors": ("model.bbox_head.anchor_generator.scales_per_octave", 2),
    "box_coder_stds": ("model.bbox_head.bbox_coder.target_stds", [1.0] * 4),
    "head_type": ("model.bbox_head.type", "RetinaHead"),
    "assigner": ("model.train_cfg.assigner.topk", 10),
    "sampler": ("model.train_cfg.sampler", dict(type="RandomSampler", num=256)),
    "dataset": ("train_dataloader.dataset.type", "LVISV1Dataset"),
    "train_scale": ("train_dataloader.dataset.pipeline.5.scale", (512, 512)),
    "test_scale": ("test_dataloader.dataset.pipeline.1.keep_ratio", False),
    "augmentations": ("train_dataloader.dataset.pipeline.3.ratio_range", (1, 2)),
    "img_mean": ("model.data_preprocessor.mean", [0.0, 0.0, 0.0]),
    "img_std": ("model.data_preprocessor.std", [1.0, 1.0, 1.0]),
    "to_rgb": ("model.data_preprocessor.bgr_to_rgb", False),
    "samples_per_gpu": ("train_dataloader.batch_size", 8),
    "workers_per_gpu": ("train_dataloader.num_workers", 2),
    "total_batch": ("auto_scale_lr.base_batch_size", 32),
    "epochs": ("train_cfg.max_epochs", 12),
    "optimizer": ("optim_wrapper.optimizer.type", "AdamW"),
    "base_lr": ("optim_wrapper.optimizer.lr", 0.008),
    "momentum": ("optim_wrapper.optimizer.momentum", 0.95),
    "weight_decay": ("optim_wrapper.optimizer.weight_decay", 5e-4),
    "grad_clip": ("optim_wrapper.clip_grad", dict(max_norm=35, norm_type=2)),
    "lr_policy": ("param_scheduler.1.type", "CosineAnnealingLR"),
    "lr_steps": ("param_scheduler.1.milestones", [75, 95]),
    "warmup": ("param_scheduler.0.by_epoch", True),
    "warmup_iters": ("param_scheduler.0.end", 1000),
    "warmup_ratio": ("param_scheduler.0.start_factor", 0.1),
    "score_thr": ("model.test_cfg.score_thr", 0.4),
    "nms": ("model.test_cfg.nms.type", "soft_nms"),
    "nms_iou": ("model.test_cfg.nms.iou_threshold", 0.6),
    "max_per_img": ("model.test_cfg.max_per_img", 300),
    "nms_pre": ("model.test_cfg.nms_pre", 2000),
    "test_other": ("model.test_cfg.min_bbox_size", 1),
}
TWO_STAGE_CHANGES = {
    "loss_bbox": ("model.roi_head.bbox_head.loss_bbox.type", "GIoULoss"),
    "loss_mask": ("model.roi_head.mask_head", dict(type="M", loss_mask=dict(type="DiceLoss"))),
    "assigner": ("model.train_cfg.rcnn.assigner.match_low_quality", True),
    "sampler": ("model.train_cfg.rpn.sampler", dict(type="PseudoSampler")),
    "anchors": ("model.rpn_head.anchor_generator.scales", [4]),
    "box_coder_stds": ("model.rpn_head.bbox_coder.target_stds", [0.1, 0.1, 0.2, 0.2]),
    "nms_pre": ("model.test_cfg.rpn.nms_pre", 2000),
    "test_other": ("model.test_cfg.rpn.nms.iou_threshold", 0.6),
}


def fields_that_differ(entry_id, changes):
    config = copy.deepcopy(paper(entry_id))
    for path, value in changes:
        set_at(config, path, value)
    return {each.field for each in differences(CATALOGUE[entry_id], config, [])}


def test_every_field_has_a_change():
    assert set(CHANGES) | set(TWO_STAGE_CHANGES) == set(FIELDS)


@pytest.mark.parametrize("field", CHANGES)
def test_one_stage_change_is_found(field):
    assert field in fields_that_differ(RETINA, [CHANGES[field]])


@pytest.mark.parametrize("field", TWO_STAGE_CHANGES)
def test_two_stage_change_is_found(field):
    assert field in fields_that_differ(TWO_STAGE, [TWO_STAGE_CHANGES[field]])


def test_a_field_that_cannot_be_read_differs():
    config = copy.deepcopy(paper(RETINA))
    config.auto_scale_lr = None
    assert resolved_facts(config)["total_batch"].startswith("unreadable")
    assert "total_batch" in {each.field for each in differences(CATALOGUE[RETINA], config, [])}


@pytest.mark.parametrize(
    ("field", "one", "other", "same"),
    [
        ("anchors", "bbox: ratios=[1.0], scales=[8]", "bbox: scales=[8], ratios=[1.0]", True),
        ("anchors", "bbox: scales=[8]", "rpn: scales=[8]", False),
        ("assigner", "MaxIoUAssigner(pos_iou_thr=0.5)", "MaxIoUAssigner(pos_iou_thr=0.50)", True),
        (
            "assigner",
            "MaxIoUAssigner(pos_iou_thr=0.5, match_low_quality=False)",
            "MaxIoUAssigner(pos_iou_thr=0.5)",
            False,
        ),
        ("augmentations", "RandomFlip(prob=0.5)", "RandomFlip(flip_ratio=0.5)", True),
        ("augmentations", "A(x=1); B(x=2)", "B(x=2); A(x=1)", False),
        ("sampler", "none in config -> PseudoSampler (all anchors)", "PseudoSampler()", True),
        (
            "train_scale",
            "multi-scale(value): short 800/640",
            "multi-scale(value): short 640/800",
            True,
        ),
        (
            "train_scale",
            "multi-scale(value): short 800/640",
            "multi-scale(range): short 640/800",
            False,
        ),
        ("base_lr", "0.0080", "0.008", True),
    ],
)
def test_words(field, one, other, same):
    assert (canonical(field, one) == canonical(field, other)) is same
