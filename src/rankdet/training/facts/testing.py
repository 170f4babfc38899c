"""Test settings."""

from __future__ import annotations

from mmengine.config import Config

from rankdet.training.facts.nodes import test_config


def score_thr(config: Config) -> str:
    """Return the lowest score of a detection."""
    return str(test_config(config).score_thr)


def nms(config: Config) -> str:
    """Return nms, fast_nms (YOLACT) or matrix_nms (SOLOv2)."""
    found = test_config(config)
    if "kernel" in found:
        return "matrix_nms"
    return "fast_nms" if "top_k" in found else found.nms.type


def nms_iou(config: Config) -> str:
    """Return the IoU above which a lower-scored box is dropped."""
    found = test_config(config)
    if "kernel" in found:
        return ""
    return str(found.iou_thr if "top_k" in found else found.nms.iou_threshold)


def max_per_img(config: Config) -> str:
    """Return the detections of an image."""
    return str(test_config(config).max_per_img)


def nms_pre(config: Config) -> str:
    """Return how many candidates of a level go to NMS."""
    testing = config.model.test_cfg
    return f"rpn {testing.rpn.nms_pre}" if "rpn" in testing else str(testing.nms_pre)


def test_other(config: Config) -> str:
    """Return the remaining test settings."""
    testing, found = config.model.test_cfg, test_config(config)
    said = []
    if "rpn" in testing:
        said += [f"rpn nms {testing.rpn.nms.iou_threshold}", f"rpn max {testing.rpn.max_per_img}"]
    elif "min_bbox_size" in found:
        # mmdet 2 read 0 as no limit, which mmdet 3.3 calls -1.
        said.append(f"min_bbox_size {max(found.min_bbox_size, 0)}")
    names = {"mask_thr": "mask_thr", "filter_thr": "update_thr", "update_thr": "update_thr"}
    said += [f"{shown} {found[key]}" for key, shown in names.items() if key in found]
    for key in ("kernel", "sigma", "iou_thr", "top_k", "mask_thr_binary"):
        if key in found:
            said.append(f"{key} {found[key]}")
    return ", ".join(said)
