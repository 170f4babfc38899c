"""Our heads for the official classes of the aLRP repository."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn

import rankdet.models  # noqa: F401 (registers the heads)
from tests.golden.heads.cases import Case
from tests.golden.heads.registry import builds

PERIOD = 3665  # of the self-balance; the sequences have their own
ALRP = dict(type="AlrpLoss", use_sigmoid=True, delta=1.0, eps=1e-5)
ALRP_STEP = dict(type="AlrpStep")


def anchor_head(case: Case, **settings) -> nn.Module:
    """Build an anchor-based head with the case's anchors, coder and assigner, 8 channels."""
    told = case.settings
    training = told.get("train_cfg", told)
    anchors = told.get("anchor_generator") or dict(told["anchor"], type="AnchorGenerator")
    coder = told.get("bbox_coder") or dict(
        type="DeltaXYWHBBoxCoder", target_stds=told["box_coder_stds"]
    )
    settings = dict(
        dict(feat_channels=8),
        num_classes=case.classes,
        in_channels=8,
        anchor_generator=anchors,
        bbox_coder=coder,
        train_cfg=dict(
            assigner=training["assigner"],
            sampler=dict(type="PseudoSampler"),
            allowed_border=training["allowed_border"],
            pos_weight=-1,
        ),
        test_cfg=dict(),
        **settings,
    )
    return MODELS.build(ConfigDict(settings)).train()


def self_balance(case: Case) -> dict:
    """Return the self-balance of a case; the sequences are recorded with a short period."""
    return dict(period=case.about.get("period", PERIOD), initial=50.0)


@builds("aLRPLossRetinaHead")
def alrp_retina(case: Case) -> nn.Module:
    """RetinaNet with aLRP Loss, MaxIoU or ATSS assignment."""
    by_levels = case.settings["assigner"]["type"] == "ATSSAssigner"
    return anchor_head(
        case,
        type="RankedATSSRetinaHead" if by_levels else "RankedRetinaHead",
        stacked_convs=1,
        loss_step=ALRP_STEP,
        loss_cls=ALRP,
        loss_bbox=dict(type="GIoULoss", reduction="none"),
        self_balance=self_balance(case),
    )


@builds("APLossRetinaHead")
def ap_retina(case: Case) -> nn.Module:
    """RetinaNet with AP Loss."""
    return anchor_head(
        case,
        type="RankedRetinaHead",
        loss_step=dict(type="ApStep"),
        stacked_convs=1,
        loss_cls=dict(type="ApLoss", use_sigmoid=True, delta=1.0),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0),
    )


@builds("aLRPLossRPNHead", foreground=1, background=0)
def alrp_rpn(case: Case) -> nn.Module:
    """RPN with aLRP Loss."""
    return anchor_head(
        case,
        type="RankedRPNHead",
        loss_step=dict(type="AlrpStep", tau=0.7),
        loss_cls=ALRP,
        loss_bbox=dict(type="GIoULoss", reduction="none"),
        self_balance=self_balance(case),
        head_weight=case.settings["head_weight"],
    )


def fovea_head(case: Case, **settings) -> nn.Module:
    """Build a FoveaBox head with the case's levels, 8 channels."""
    names = ("base_edge_list", "scale_ranges", "sigma", "strides", "with_deform")
    settings = dict(
        num_classes=case.classes,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        train_cfg=dict(),
        test_cfg=dict(),
        **{name: case.settings[name] for name in names},
        **settings,
    )
    return MODELS.build(ConfigDict(settings)).train()


@builds("aLRPLossFoveaHead")
def alrp_fovea(case: Case) -> nn.Module:
    """FoveaBox with aLRP Loss."""
    return fovea_head(
        case,
        type="RankedFoveaHead",
        loss_step=ALRP_STEP,
        loss_cls=ALRP,
        loss_bbox=dict(type="GIoULoss", reduction="none"),
        self_balance=self_balance(case),
    )


@builds("APLossFoveaHead")
def ap_fovea(case: Case) -> nn.Module:
    """FoveaBox with AP Loss."""
    return fovea_head(
        case,
        type="RankedFoveaHead",
        loss_step=dict(type="ApStep"),
        loss_cls=dict(type="ApLoss", use_sigmoid=True, delta=1.0),
        loss_bbox=case.settings["loss_bbox"],
    )
