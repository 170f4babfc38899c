"""Our RoI heads for the official RoI heads of the aLRP and Rank & Sort repositories."""

from __future__ import annotations

from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import nn

import rankdet.models  # noqa: F401 (registers the heads)
from tests.golden.heads.build_alrp import ALRP, ALRP_STEP, self_balance
from tests.golden.heads.build_rank_sort import GIOU, RANK_SORT, RANK_SORT_STEP
from tests.golden.heads.cases import Case
from tests.golden.heads.registry import builds
from tests.golden.place import tensor_of

MASK_CHANNELS = 8


def roi_head(case: Case, bbox_head: dict, **settings) -> nn.Module:
    """Build an RoI head with the case's RoIAlign, coder, assigner and sampler."""
    told = case.settings
    align = told["roi_align"]
    box = dict(
        in_channels=told["channels"],
        fc_out_channels=told["fc_out_channels"],
        roi_feat_size=told["roi_feat_size"],
        num_classes=case.classes,
        bbox_coder=told["bbox_coder"],
        reg_class_agnostic=told["reg_class_agnostic"],
        reg_decoded_bbox=told["reg_decoded_bbox"],
        **bbox_head,
    )
    settings = dict(
        dict(type="StandardRoIHead"),
        bbox_roi_extractor=extractor(told, align["output_size"]),
        bbox_head=box,
        train_cfg=told["train_cfg"],
        test_cfg=case.about.get("test_cfg"),
        **settings,
    )
    return MODELS.build(ConfigDict(settings)).train()


def extractor(told: dict, size: int) -> dict:
    """Return the RoI extractor of a case for RoIs of ``size`` cells."""
    align = told["roi_align"]
    layer = dict(
        type="RoIAlign",
        output_size=size,
        sampling_ratio=align["sampling_ratio"],
        aligned=align["aligned"],
    )
    return dict(
        type="SingleRoIExtractor",
        roi_layer=layer,
        out_channels=told["channels"],
        featmap_strides=align["featmap_strides"],
    )


@builds("StandardRoIHead + aLRPLossShared2FCBBoxHead")
def alrp(case: Case) -> nn.Module:
    """Faster R-CNN with aLRP Loss."""
    head = dict(
        type="RankedShared2FCBBoxHead",
        loss_step=ALRP_STEP,
        loss_cls=ALRP,
        loss_bbox=GIOU,
        self_balance=self_balance(case),
    )
    return roi_head(case, head)


BOX = dict(
    type="RankedShared2FCBBoxHead",
    loss_step=RANK_SORT_STEP,
    loss_cls=RANK_SORT,
    loss_bbox=GIOU,
)


@builds("RankBasedStandardRoIHead + RankBasedShared2FCBBoxHead")
def rank_sort(case: Case) -> nn.Module:
    """Faster R-CNN with Rank & Sort Loss."""
    return roi_head(case, BOX)


@builds("RankBasedStandardRoIHead + RankBasedShared2FCBBoxHead + RankBasedFCNMaskHead")
def mask(case: Case) -> nn.Module:
    """Mask R-CNN with Rank & Sort Loss; the official order of the weights of drawn masks."""
    head = dict(
        type="RankSortFCNMaskHead",
        in_channels=case.settings["channels"],
        conv_out_channels=MASK_CHANNELS,
        num_convs=4,
        num_classes=case.classes,
        loss_mask=dict(type="DiceLoss", reduction="none", eps=5e-6),
    )
    size = case.settings["roi_align"]["mask_output_size"]
    built = roi_head(
        case,
        BOX,
        type="RankSortRoIHead",
        mask_roi_extractor=extractor(case.settings, size),
        mask_head=head,
        align_mask_weights=False,
    )
    drawn = [tensor_of(array) for array in case.stored("randperm")]
    if drawn:
        built.draw = lambda count, device: drawn[0]
    return built


@builds("RankBasedCascadeRoIHead + RankBasedShared2FCBBoxHead")
def cascade(case: Case) -> nn.Module:
    """Cascade R-CNN with Rank & Sort Loss in each of three stages: mmdet's own RoI head."""
    weights = case.settings["stage_loss_weights"]
    return roi_head(
        case, BOX, type="CascadeRoIHead", num_stages=len(weights), stage_loss_weights=weights
    )
