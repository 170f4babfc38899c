"""Classes of this package and of mmdet 3.3 by the names of the official code.

A class of ours stands in for an official one where mmdet 3.3 does otherwise than the official code
did; the class that mmdet 3.3 has under the official name is then another one, and is called so.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    "AlrpStep": {"tau": 0.5, "box_measure": "giou", "giou_eps": 1e-6},
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


# Step of a ranking head here -> how the names of the official heads of that loss begin.
HEAD_NAMES = {
    "ApStep": "APLoss",
    "AlrpStep": "aLRPLoss",
    "RankSortStep": "RankBased",
    "WeightedApStep": "RankBased",
    "ParameterizedApStep": "PAPLoss",
}
HEADS: Classes = {
    "RankSortRoIHead": "RankBasedStandardRoIHead",
    "RankSortFCNMaskHead": "RankBasedFCNMaskHead",
    "RankSortSOLOV2Head": "RankBasedSOLOv2Head",
}


def official_head(kind: str, step: str | None) -> str:
    """Return the official class of a head: the step of its loss says which one."""
    name = HEAD_NAMES.get(step or "")
    if name and kind.startswith("Ranked"):
        detector, _, retina = kind.removeprefix("Ranked").partition("ATSSRetina")
        return f"{name}Retina{retina} with ATSS" if retina else name + detector
    if name and kind in ("PixelRetinaHead", "PixelATSSRetinaHead"):
        return f"{name} head of the AP-Loss code" + " with ATSS" * ("ATSS" in kind)
    return str(official_class(kind, HEADS)["type"])


def official_class(name: str, classes: Classes) -> dict[str, Any]:
    """Return a class under its official name, as ``type``, and what else that class does.

    A class of mmdet 3.3 whose official name one of ours stands for is named as that of mmdet 3.3.
    """
    found = classes.get(name)
    if found is None:
        found = f"{name} of mmdet 3.3" if name in classes.values() else name
    return {"type": found} if isinstance(found, str) else dict(found)
