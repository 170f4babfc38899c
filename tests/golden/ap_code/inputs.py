"""Kinds ``annotations`` and ``preprocess``."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes

from rankdet.models.ap_code.geometry import to_edges, to_pixels
from rankdet.models.build import load_config
from tests.golden.ap_code.cases import PIXELS, SINGLE, Check, replays

CONFIGS = {
    "500_r101": "alrp_ap_r101_500",
    "500_x101": "alrp_ap_x101_32x8d_500",
    "800_r101": "alrp_ap_r101_800",
    "800_x101": "alrp_ap_x101_32x8d_800",
}


@replays("annotations")
def replay_annotations(check: Check) -> None:
    """Compare the boxes that training sees; the second image has none."""
    arrays, about = check.case.arrays, check.case.about
    height, width = about["image_hw"]
    ids = about["category_ids_in_order"]
    document = {
        "images": [
            {"id": image, "file_name": f"{image}.jpg", "height": height, "width": width}
            for image in (1, 2)
        ],
        "categories": [{"id": number, "name": f"class {number}"} for number in ids],
        "annotations": [
            {
                "id": place + 1,
                "image_id": 1,
                "category_id": int(arrays["category"][place]),
                "bbox": arrays["xywh"][place].tolist(),
                "area": float(arrays["area"][place]),
                "iscrowd": int(arrays["iscrowd"][place]),
            }
            for place in range(len(arrays["area"]))
        ],
    }
    settings = load_config("alrp_ap_r101_500").train_dataloader.dataset
    for filtered, images in ((True, 1), (False, 2)):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            path = Path(folder, "annotations.json")
            path.write_text(json.dumps(document), encoding="utf-8")
            found = DATASETS.build(
                dict(
                    type=settings.type,
                    ann_file=str(path),
                    data_prefix=dict(img=""),
                    metainfo=dict(classes=tuple(f"class {number}" for number in ids)),
                    filter_cfg=settings.filter_cfg if filtered else None,
                    pipeline=[],
                )
            )
        check.equal("images", len(found), images)
        first = found.get_data_info(0)["instances"]
        boxes = torch.tensor([instance["bbox"] for instance in first], dtype=torch.float64)
        check.close("boxes", to_pixels(boxes), arrays["boxes"][:, :4], SINGLE, True)
        labels = [instance["bbox_label"] for instance in first]
        check.equal("labels", labels, arrays["boxes"][:, 4])
        if not filtered:
            empty = len(found.get_data_info(1)["instances"])
            check.equal("empty image", empty, len(arrays["boxes_image_without_annotations"]))


@replays("preprocess")
def replay_preprocessing(check: Check) -> None:
    """Compare the network's input of a test image, under four configs."""
    for name, entry in CONFIGS.items():
        _replay_config(check, name, entry)


def _replay_config(check: Check, name: str, entry: str) -> None:
    arrays, told = check.case.arrays, check.case.about["results"][name]
    config = load_config(entry)
    load, *steps = config.test_dataloader.dataset.pipeline
    image = arrays["image_bgr"].astype(np.float32 if load.to_float32 else np.uint8)
    boxes = HorizontalBoxes(to_edges(check.case.tensor("boxes")[:, :4]))
    results = dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
    results["gt_bboxes"] = boxes
    for step in steps:
        if step.type not in ("LoadAnnotations", "PackDetInputs"):
            results = TRANSFORMS.build(step)(results)
    packed = PackDetInputs(meta_keys=("img_shape", "scale_factor"))(results)
    preprocessor = MODELS.build(config.model.data_preprocessor)
    batch = {key: [value] for key, value in packed.items()}
    found = preprocessor(batch)["inputs"][0]
    check.equal(f"{name}: input size", found.shape, told["input_chw"])
    check.equal(f"{name}: image size", results["img_shape"], told["unpadded_hw"])
    check.close(f"{name}: scale", results["scale_factor"], [told["scale"]] * 2, 1e-12)
    stored = arrays[f"{name}.boxes"][:, :4]
    check.close(f"{name}: boxes", to_pixels(results["gt_bboxes"].tensor), stored, SINGLE, True)
    for key, ours in (
        ("every16", found[:, 5::16, 3::16]),
        ("row", found[:, found.shape[1] // 2, ::4]),
        ("corner_pad", found[:, -1, -1]),
    ):
        check.close(f"{name}: {key}", ours, arrays[f"{name}.{key}"], PIXELS)
    # Sums over all pixels: their mean within a hundredth of the tolerance of one.
    count = found[0].numel()
    for key, ours in (("sum", found.double()), ("sumsq", found.double().square())):
        mean = ours.sum((1, 2)) / count
        largest = max(1.0, float(found.abs().max()))
        check.close(f"{name}: {key}", mean, arrays[f"{name}.{key}"] / count, 1e-5 * largest)
