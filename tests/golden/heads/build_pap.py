"""Our heads for the official classes of the Parameterized AP repository."""

from __future__ import annotations

import torch
from torch import nn

from tests.golden.heads.build_alrp import anchor_head
from tests.golden.heads.build_rank_sort import GIOU
from tests.golden.heads.build_roi import roi_head
from tests.golden.heads.cases import Case
from tests.golden.heads.registry import builds
from tests.golden.place import tensor_of


def settings(case: Case, head: str) -> dict:
    """Return type, loss and gradient scale of a case's head."""
    told = case.settings
    loss = dict(
        type="ParameterizedApLoss",
        use_sigmoid=True,
        control_points=told["ctrl_points"],
        top_k=int(told.get("num_topk", 100_000)),
        form=told.get("loss_form", "searched"),
    )
    return dict(
        type=head,
        loss_step=dict(type="ParameterizedApStep"),
        loss_cls=loss,
        loss_bbox=GIOU,
        box_gradient_scale=told["reg_weight"],
    )


@builds("PAPLossRetinaHead", loss_names={"loss_pap": "loss"})
def retina(case: Case) -> nn.Module:
    """RetinaNet with Parameterized AP Loss."""
    return anchor_head(case, stacked_convs=1, **settings(case, "RankedRetinaHead"))


@builds("PAPLossRPNHead", foreground=1, background=0, loss_names={"loss_rpn_pap": "loss"})
def rpn(case: Case) -> nn.Module:
    """RPN with Parameterized AP Loss; where anchors were drawn at random, the recorded draw."""
    head = anchor_head(case, **settings(case, "RankedRPNHead"))
    if case.settings["train_cfg"].get("sampler"):
        take_recorded_draw(head, [tensor_of(w) for w in case.stored("label_weights")])
    return head


def take_recorded_draw(head: nn.Module, weights: list[torch.Tensor]) -> None:
    """Let the assigned anchors of no weight in the record be those that the sampler left out."""
    assign = head.level_targets

    def drawn(*arguments) -> tuple:
        anchors, labels, own, boxes = assign(*arguments)
        kept = [level.view(mine.shape).to(mine) for level, mine in zip(weights, own, strict=True)]
        labels = [
            torch.where(weight > 0, level, head.num_classes)
            for level, weight in zip(labels, kept, strict=True)
        ]
        return anchors, labels, kept, boxes

    head.level_targets = drawn


@builds("StandardRoIHead + PAPLossShared2FCBBoxHead", loss_names={"loss_roi_pap": "loss_pap"})
def roi(case: Case) -> nn.Module:
    """Faster R-CNN with Parameterized AP Loss."""
    return roi_head(case, settings(case, "RankedShared2FCBBoxHead"))
