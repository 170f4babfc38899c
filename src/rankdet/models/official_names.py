"""Names of tensors here and in the official repositories, where they differ.

RS-SOLOv2 was trained with mmdetection 1.0, where SOLOv2 was two heads with names of its own;
FoveaBox's last layers were renamed in mmdetection 2.1. All other tensors, those of RS-YOLACT
included, have the official names. aLRP's self-balance is in the state dict here only.

The AP-Loss code base is no mmdetection: its RetinaNet has names of its own, and was saved through
DataParallel, hence ``module.`` in front of everything.
"""

from __future__ import annotations

from collections.abc import Sequence

# (start of a name here, start of the official name); the first that fits is taken.
SOLOV2 = (
    ("mask_head.mask_feature_head.conv_pred.", "mask_feat_head.conv_pred.0."),
    ("mask_head.mask_feature_head.", "mask_feat_head."),
    ("mask_head.cls_convs.", "bbox_head.cate_convs."),
    ("mask_head.kernel_convs.", "bbox_head.kernel_convs."),
    ("mask_head.conv_cls.", "bbox_head.solo_cate."),
    ("mask_head.conv_kernel.", "bbox_head.solo_kernel."),
)
FOVEABOX = (
    ("bbox_head.conv_cls.", "bbox_head.fovea_cls."),
    ("bbox_head.conv_reg.", "bbox_head.fovea_reg."),
)
_FPN = ("P3", "P4", "P5")
_TOWERS = (("cls", "classificationModel"), ("reg", "regressionModel"))
AP_CODE = (
    ("backbone.", "module."),
    *((f"neck.lateral_convs.{i}.conv.", f"module.fpn.{p}_1.") for i, p in enumerate(_FPN)),
    *((f"neck.fpn_convs.{i}.conv.", f"module.fpn.{p}_2.") for i, p in enumerate(_FPN)),
    ("neck.fpn_convs.3.conv.", "module.fpn.P6."),
    ("neck.fpn_convs.4.conv.", "module.fpn.P7_2."),
    *(
        (f"bbox_head.{ours}_convs.{i}.conv.", f"module.{official}.conv{i + 1}.")
        for ours, official in _TOWERS
        for i in range(4)
    ),
    *((f"bbox_head.retina_{ours}.", f"module.{official}.output.") for ours, official in _TOWERS),
)

# Type of the detector -> renaming.
RENAMING = {"FOVEA": FOVEABOX, "SOLOv2": SOLOV2, "PixelRetinaNet": AP_CODE}

# Tensors that no official model has.
OWN_STATE = ".self_balance."


def official_name(name: str, renaming: Sequence[tuple[str, str]] = SOLOV2) -> str:
    """Return the official name of a tensor of our model."""
    for ours, official in renaming:
        if name.startswith(ours):
            return official + name.removeprefix(ours)
    return name
