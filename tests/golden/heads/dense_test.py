"""Kind ``dense-test``: raw predictions in, boxes, scores and labels after NMS out."""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict

from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check
from tests.golden.heads.registry import Builder, replays


@replays("dense-test")
def replay_test(case: Case, builder: Builder) -> Check:
    """Replay decoding, selection and NMS of every image."""
    check = Check(case)
    head = builder.build(case).eval()
    cfg = test_config(case.about["test_cfg"])
    with torch.no_grad():
        results = head.predict_by_feat(
            case.tensors("cls_score"),
            case.tensors("bbox_pred"),
            batch_img_metas=case.metas(),
            cfg=cfg,
            rescale=case.about["rescale"],
        )
    by_score = "not sorted" not in case.about.get("order", "")
    for image, found in enumerate(results):
        boxes = case.outputs[f"det_bboxes_{image}"]
        labels = case.outputs.get(f"det_labels_{image}")
        check.detections(image, found, boxes, labels, cfg.max_per_img, by_score)
    return check


def test_config(recorded: dict) -> ConfigDict:
    """Return a recorded test configuration in mmdet 3.3's names."""
    cfg = ConfigDict(recorded)
    if "nms_thr" in cfg:  # an RPN of mmdet 2.0
        cfg.nms = dict(type="nms", iou_threshold=cfg.pop("nms_thr"))
        cfg.max_per_img = cfg.pop("max_num")
    if "iou_thr" in cfg.nms:
        cfg.nms.iou_threshold = cfg.nms.pop("iou_thr")
    return cfg
