"""Classes of this package and of mmdet 3.3 by the names of the official code.

A class of ours stands in for an official one where mmdet 3.3 does otherwise than the official code
did; the class that mmdet 3.3 has under the official name is then another one, and is called so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# A class here -> the official one, alone or with what else it does.
Classes = Mapping[str, str | dict[str, Any]]

DATASETS: Classes = {
    "PixelCocoDataset": "CocoDataset of the AP-Loss code",
    "LvisDataset": "LVISV1Dataset",
}
STEPS: Classes = {
    "SsdPhotometricDistortion": "PhotoMetricDistortion",
    "LoadLastPixelAnnotations": {"type": "LoadAnnotations", "boxes": "to the last pixel"},
}
DETECTORS: Classes = {"PixelRetinaNet": "RetinaNet of the AP-Loss code"}
OPTIMIZER_WRAPPERS: Classes = {
    "OptimWrapper": "every batch",
    "NonZeroOptimWrapper": "batches with a loss above 0",
}
PARTS: Classes = {
    "StemBiasResNet": {"type": "ResNet", "stem_bias": True},
    "AnyDeviceFPNCarafe": "FPN_CARAFE",
    "BestAnchorAssigner": "IoUAssigner",
    "PixelOverlaps2D": "IoU of pixels",
    "PixelAnchorGenerator": "AnchorGenerator of the AP-Loss code",
    "PixelDeltaXYWHBBoxCoder": "BoxCoder of the AP-Loss code",
}
# Loss -> the steps that take it (a head's `loss_step`).
LOSS_STEPS = {
    "ApLoss": ("ApStep", "WeightedApStep"),
    "BucketedApLoss": ("ApStep", "WeightedApStep"),
    "AlrpLoss": ("AlrpStep",),
    "RankSortLoss": ("RankSortStep",),
    "BucketedRankSortLoss": ("RankSortStep",),
    "ParameterizedApLoss": ("ParameterizedApStep",),
}
# What a head of this package must be told, to do as the official code does.
SWITCHES = {
    "RankSortSOLOV2Head": {"official_order": True},  # masks by object, targets by cell
    "RankSortRoIHead": {"align_mask_weights": False},  # weights in the official order
}
# Settings that a class takes where a config says nothing, of the settings that some config states.
DEFAULTS: dict[str, dict[str, Any]] = {
    "ApLoss": {"delta": 1.0},
    "BucketedApLoss": {"delta": 1.0},
    "AlrpLoss": {"delta": 1.0, "eps": 1e-5},
    "RankSortLoss": {"delta": 0.5, "eps": 1e-10},
    "BucketedRankSortLoss": {"delta": 0.5, "eps": 1e-10},
    "GIoULoss": {"eps": 1e-6, "loss_weight": 1.0},
    "L1Loss": {"loss_weight": 1.0},
    "SmoothL1Loss": {"beta": 1.0, "loss_weight": 1.0},
    "DiceLoss": {"use_sigmoid": True, "activate": True, "eps": 1e-3, "loss_weight": 1.0},
    "FocalLoss": {"use_sigmoid": True, "gamma": 2.0, "alpha": 0.25, "loss_weight": 1.0},
    "CrossEntropyLoss": {"use_sigmoid": False, "use_mask": False, "loss_weight": 1.0},
    "MaxIoUAssigner": {
        **{"min_pos_iou": 0.0, "match_low_quality": True, "ignore_iof_thr": -1},
        "gt_max_assign_all": True,
    },
    "RandomSampler": {"neg_pos_ub": -1, "add_gt_as_proposals": True},
    "ResNet": {"frozen_stages": -1, "norm_eval": True},
    "ResNeXt": {"frozen_stages": -1, "norm_eval": True},
}
# A ranking loss here -> its name in the catalogue.
LOSSES: Classes = {
    "ApLoss": "AP",
    "BucketedApLoss": "BAP",
    "AlrpLoss": "aLRP",
    "RankSortLoss": "RS",
    "BucketedRankSortLoss": "BRS",
    "ParameterizedApLoss": "PAP",
}
HOOKS: Classes = {"RenewSelfBalance": "self-balance renewed at the end of an epoch"}


@dataclass(frozen=True)
class Head:
    """The official class that a head of this package stands for.

    Attributes:
        name: of the official class.
        losses: it is that class only with one of these losses; empty for any.
    """

    name: str
    losses: tuple[str, ...] = ()

    def official(self, node: Mapping[str, Any], own: str) -> str:
        """Return its official name; with another loss than it is for, that of this package."""
        loss = node.get("loss_cls", {}).get("type", "")
        return self.name if not self.losses or loss in self.losses else f"{own} with {loss}"


_AP, _SORT = ("ApLoss", "BucketedApLoss"), ("RankSortLoss", "BucketedRankSortLoss")
HEADS = {
    "ApRetinaHead": Head("APLossRetinaHead", _AP),
    "ApFoveaHead": Head("APLossFoveaHead", _AP),
    "ApATSSHead": Head("RankBasedATSSHead", _AP),
    "ApPAAHead": Head("RankBasedPAAHead", _AP),
    "AlrpRetinaHead": Head("aLRPLossRetinaHead", ("AlrpLoss",)),
    "AlrpATSSRetinaHead": Head("aLRPLossRetinaHead with ATSS", ("AlrpLoss",)),
    "AlrpFoveaHead": Head("aLRPLossFoveaHead", ("AlrpLoss",)),
    "AlrpRPNHead": Head("aLRPLossRPNHead", ("AlrpLoss",)),
    "AlrpShared2FCBBoxHead": Head("aLRPLossShared2FCBBoxHead", ("AlrpLoss",)),
    "RankSortATSSHead": Head("RankBasedATSSHead", _SORT),
    "RankSortPAAHead": Head("RankBasedPAAHead", _SORT),
    "RankSortRPNHead": Head("RankBasedRPNHead", _SORT),
    "RankSortShared2FCBBoxHead": Head("RankBasedShared2FCBBoxHead", _SORT),
    "RankSortRoIHead": Head("RankBasedStandardRoIHead"),
    "RankSortCascadeRoIHead": Head("RankBasedCascadeRoIHead"),
    "RankSortFCNMaskHead": Head("RankBasedFCNMaskHead"),
    "RankSortSOLOV2Head": Head("RankBasedSOLOv2Head", _SORT),
    "ParameterizedApRetinaHead": Head("PAPLossRetinaHead", ("ParameterizedApLoss",)),
    "ParameterizedApRPNHead": Head("PAPLossRPNHead", ("ParameterizedApLoss",)),
    "ParameterizedApShared2FCBBoxHead": Head("PAPLossShared2FCBBoxHead", ("ParameterizedApLoss",)),
    "PixelApRetinaHead": Head("APLoss head of the AP-Loss code", _AP),
    "PixelAlrpRetinaHead": Head("aLRPLoss head of the AP-Loss code", ("AlrpLoss",)),
    "PixelAlrpATSSRetinaHead": Head("aLRPLoss head of the AP-Loss code with ATSS", ("AlrpLoss",)),
}


def official_class(name: str, classes: Classes) -> dict[str, Any]:
    """Return a class under its official name, as ``type``, and what else that class does.

    A class of mmdet 3.3 whose official name one of ours stands for is named as that of mmdet 3.3.
    """
    found = classes.get(name)
    if found is None:
        found = f"{name} of mmdet 3.3" if name in classes.values() else name
    return {"type": found} if isinstance(found, str) else dict(found)
