"""pycocotools as judge, and oLRP worked out naively from its matches."""

import contextlib
import copy
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def judge(truth: dict, rows: list[dict], iou_type: str) -> COCOeval:
    """Run pycocotools on copies; it writes into its input."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy({"info": {}, "licenses": [], **truth})
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(rows)), iou_type)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def twelve(evaluation: COCOeval) -> dict[str, float | None]:
    return {
        name: None if value == -1 else float(value)
        for name, value in zip(NAMES, evaluation.stats, strict=True)
    }


def class_lrp(evaluation: COCOeval, category: int, area: int) -> dict[str, float] | None:
    """Optimal LRP of one class at tau = 0.5: every prefix in turn, from the definition."""
    images = evaluation.params.imgIds
    first = (category * len(evaluation.params.areaRng) + area) * len(images)
    category_id = evaluation.params.catIds[category]
    detections, gt_count = [], 0
    records = evaluation.evalImgs[first : first + len(images)]
    for image_id, record in zip(images, records, strict=True):
        if record is None:
            continue
        gt_count += int(np.sum(np.array(record["gtIgnore"]) == 0))
        # Columns of the IoU matrix are annotations in file order.
        columns = [gt["id"] for gt in evaluation._gts[image_id, category_id]]
        for rank, score in enumerate(record["dtScores"]):
            match = record["dtMatches"][0, rank]
            iou = evaluation.ious[image_id, category_id][rank, columns.index(match)] if match else 0
            detections.append((score, bool(match), bool(record["dtIgnore"][0, rank]), iou))
    if not gt_count:
        return None
    detections.sort(key=lambda detection: -detection[0])
    best = None
    true = false = 0
    localization = 0.0
    for score, is_matched, is_ignored, iou in detections:
        if not is_ignored:
            true, false = true + is_matched, false + (not is_matched)
            localization += (1 - iou) * is_matched
        missed = gt_count - true
        error = (localization / 0.5 + false + missed) / (true + false + missed)
        if best is None or error < best["oLRP"] - 1e-12:
            best = {
                "oLRP": error,
                "oLRP_loc": localization / true if true else None,
                "oLRP_fp": false / (true + false) if true + false else None,
                "oLRP_fn": missed / gt_count,
                "oLRP_threshold": score,
            }
    if best is None or true == 0:
        nothing = dict.fromkeys(("oLRP_loc", "oLRP_fp", "oLRP_threshold"))
        return {"oLRP": 1.0, "oLRP_fn": 1.0, **nothing}
    return best
