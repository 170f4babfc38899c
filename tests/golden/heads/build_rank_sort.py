"""Our heads for the official classes of the Rank & Sort repository."""

from __future__ import annotations

from torch import nn

from tests.golden.heads.build_alrp import anchor_head
from tests.golden.heads.cases import Case
from tests.golden.heads.registry import builds

RANK_SORT = dict(type="RankSortLoss", use_sigmoid=True, delta=0.5)
RANK_SORT_STEP = dict(type="RankSortStep")
GIOU = dict(type="GIoULoss", reduction="none")


@builds("RankBasedRPNHead")
def rpn(case: Case) -> nn.Module:
    """RPN with Rank & Sort Loss."""
    return anchor_head(
        case,
        type="RankedRPNHead",
        loss_step=RANK_SORT_STEP,
        loss_cls=RANK_SORT,
        loss_bbox=GIOU,
        head_weight=case.settings["head_weight"],
    )


def towers() -> dict:
    """Return the shrunk towers of the recorded ATSS and PAA heads."""
    norm = dict(type="GN", num_groups=8, requires_grad=True)
    return dict(stacked_convs=1, feat_channels=32, norm_cfg=norm)


@builds("RankBasedATSSHead")
def atss(case: Case) -> nn.Module:
    """ATSS with Rank & Sort Loss."""
    return anchor_head(
        case,
        type="RankedATSSHead",
        loss_step=RANK_SORT_STEP,
        loss_cls=RANK_SORT,
        loss_bbox=GIOU,
        **towers(),
    )


@builds("RankBasedPAAHead", image_major=True)
def paa(case: Case) -> nn.Module:
    """PAA with Rank & Sort Loss."""
    told = case.settings
    return anchor_head(
        case,
        type="RankedPAAHead",
        loss_step=RANK_SORT_STEP,
        loss_cls=RANK_SORT,
        loss_bbox=GIOU,
        loss_candidate=told["loss_cls"],
        reg_decoded_bbox=True,
        score_voting=told["score_voting"],
        topk=told["topk"],
        **towers(),
    )
