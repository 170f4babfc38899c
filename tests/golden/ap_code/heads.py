"""The heads under test: those of the entries' configs, with few channels."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rankdet.models.ap_code.geometry import to_edges
from rankdet.models.build import load_config
from tests.golden.ap_code.cases import Case

STRIDES = (8, 16, 32, 64, 128)
AP, ALRP, ATSS = "ext_ap_r50_500", "ext_alrp_ap_r50_500", "ext_alrp_ap_r50_atss_500"
ENTRIES = {"o_ap": AP, "ae_ap": AP, "ae_alrp": ALRP, "ae_alrp_iou": ALRP, "ae_alrp_atss": ATSS}


def build_head(variant: str, classes: int) -> nn.Module:
    """Return the head of a recorded variant, without the self-balance's weight."""
    register_all_modules()
    model = load_config(ENTRIES[variant]).model
    head = ConfigDict(model.bbox_head)
    head.update(num_classes=classes, in_channels=8, feat_channels=8, stacked_convs=1)
    head.update(pool_images=None, train_cfg=model.train_cfg, test_cfg=model.test_cfg)
    if "self_balance" in head:
        head.self_balance.initial = 1.0
    if variant.endswith("_iou"):
        head.loss_step.box_measure = "iou"
    return MODELS.build(head)


def grid(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return height and width of every level of an input (height, width)."""
    return [tuple(-(-side // stride) for side in size) for stride in STRIDES]


def to_levels(rows: Tensor, size: tuple[int, int], anchors: int) -> list[Tensor]:
    """Cut (B, anchors of all levels, k) into levels (B, A k, h, w)."""
    counts = [height * width * anchors for height, width in grid(size)]
    return [
        level.reshape(len(rows), height, width, -1).permute(0, 3, 1, 2)
        for level, (height, width) in zip(rows.split(counts, 1), grid(size), strict=True)
    ]


def ground_truth(case: Case) -> list[InstanceData]:
    """Return boxes with edges, as data sets give them, and labels of every image."""
    found = []
    for rows in case.tensor("annotations"):
        rows = rows[rows[:, 4] >= 0]  # the rest is padding
        # In float64, so that no digit of the recorded float32 boxes is lost.
        boxes = to_edges(rows[:, :4].double())
        found.append(InstanceData(bboxes=boxes, labels=rows[:, 4].long()))
    return found


def metas(case: Case) -> list[dict]:
    """Return what mmdet wants to know of each of the square images."""
    shape = (case.about["image"],) * 2
    return [dict(img_shape=shape, pad_shape=shape) for _ in range(case.about["images"])]


def recorded_labels(labels: Tensor, weights: Tensor, classes: int) -> np.ndarray:
    """Return the class, -1 for background and -2 for ignored anchors."""
    found = torch.where(labels < classes, labels, -1)
    return torch.where(weights > 0, found, -2).numpy()


def assigned(head: nn.Module, case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels, label weights and box targets of all images (B, anchors, ...)."""
    places, images = head.num_base_priors, case.about["images"]
    empty = [torch.zeros(images, places, *size) for size in grid((case.about["image"],) * 2)]
    _, *targets = head.level_targets(empty, empty, ground_truth(case), metas(case), None)
    return tuple(torch.cat(levels, 1) for levels in targets)
