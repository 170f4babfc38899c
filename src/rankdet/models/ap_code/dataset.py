"""COCO as this code base reads it."""

from __future__ import annotations

import numpy as np
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS


@DATASETS.register_module()
class PixelCocoDataset(CocoDataset):
    """mmdet's CocoDataset without what official training does not see.

    Boxes are clipped to the image and need more than one pixel each way, since a box whose last
    pixel is its first is dropped; crowd regions are left out. With ``filter_empty_gt`` an image
    that keeps no box is left out too. Boxes stay in mmdet's convention.
    """

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Return image and instances of one raw record."""
        info = super().parse_data_info(raw_data_info)
        limit = np.array([info["width"], info["height"]] * 2)
        kept = []
        for instance in info["instances"]:
            box = np.clip(instance["bbox"], 0, limit)
            if not instance["ignore_flag"] and (box[2:] - box[:2] > 1).all():
                kept.append(instance | {"bbox": box.tolist()})
        return info | {"instances": kept}

    def filter_data(self) -> list[dict]:
        """Return the images to train on."""
        found = super().filter_data()
        if self.test_mode or not (self.filter_cfg or {}).get("filter_empty_gt"):
            return found
        return [info for info in found if info["instances"]]
