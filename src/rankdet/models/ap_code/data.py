"""Data set, augmentation and resizing of this code base, where they are not mmdet's.

The constants of the augmentation are those of the official code; the principal components are
those of Krizhevsky et al., NeurIPS 2012.
"""

from __future__ import annotations

import random

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import MinIoURandomCrop, Resize
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, autocast_box_type

# Principal components of ImageNet's colors in 0..255: their spread, and axes by column (R, G, B).
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
TRIALS = 50  # patches that are drawn for one threshold


@TRANSFORMS.register_module()
class LightingNoise(BaseTransform):
    """Add one random color along the principal components of natural images.

    Args:
        std: of the component's strength.
        prob: probability of adding any.
    """

    def __init__(self, std: float = 0.1, prob: float = 0.5) -> None:
        self.std = std
        self.prob = prob

    @cache_randomness
    def _random_color(self) -> np.ndarray:
        if np.random.uniform() >= self.prob:
            return np.zeros(3)
        return EIGENVECTORS @ (EIGENVALUES * np.random.normal(0, self.std, 3))

    def transform(self, results: dict) -> dict:
        """Change the colors of a BGR image (h, w, 3)."""
        color = self._random_color()[::-1].astype(np.float32)
        results["img"] = results["img"].astype(np.float32) + color
        return results


@TRANSFORMS.register_module()
class OneOverlapCrop(MinIoURandomCrop):
    """mmdet's `MinIoURandomCrop`, but one box has to overlap the patch enough.

    SSD and mmdet require it of every box.
    """

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop image and boxes to a random patch, or leave them."""
        while True:
            mode = self._random_mode()
            if mode == 1:  # the whole image
                return results
            for _ in range(TRIALS):
                patch = self._random_patch(*results["img"].shape[:2])
                if patch is not None and self._crop(results, patch, mode):
                    return results

    @cache_randomness
    def _random_patch(self, height: int, width: int) -> np.ndarray | None:
        wide = np.random.uniform(self.min_crop_size * width, width)
        high = np.random.uniform(self.min_crop_size * height, height)
        left, top = np.random.uniform(0, width - wide), np.random.uniform(0, height - high)
        patch = np.array([left, top, left + wide, top + high]).astype(int)
        is_flat = (patch[2:] == patch[:2]).any()
        return None if is_flat or not 0.5 <= high / wide <= 2 else patch

    def _crop(self, results: dict, patch: np.ndarray, min_iou: float) -> bool:
        """Crop in place and return True, or return False if no box fits the patch."""
        boxes = results["gt_bboxes"]
        if len(boxes):
            area = HorizontalBoxes(patch[None].astype(np.float32))
            centers = boxes.centers.numpy()
            is_inside = ((centers > patch[:2]) & (centers < patch[2:])).all(1)
            if float(boxes.overlaps(area, boxes).max()) < min_iou or not is_inside.any():
                return False
            boxes = boxes[is_inside]
            boxes.translate_([-patch[0], -patch[1]])
            boxes.clip_([patch[3] - patch[1], patch[2] - patch[0]])
            results["gt_bboxes"] = boxes
            for key in ("gt_bboxes_labels", "gt_ignore_flags"):
                if key in results:
                    results[key] = results[key][is_inside]
        results["img"] = results["img"][patch[1] : patch[3], patch[0] : patch[2]]
        results["img_shape"] = results["img"].shape[:2]
        return True


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


@TRANSFORMS.register_module()
class ResizeByFactor(Resize):
    """Scale the image by one factor for both axes, and sample at exactly that factor.

    The factor brings the short side to ``short_side``, or the long side to ``short_side x
    longest``, whichever is less. mmdet resizes to the rounded size instead, which moves the grid
    by up to half a pixel. The official code subtracts the mean before; interpolation does not
    depend on that, as long as the image is float.

    Args:
        short_side: in pixels.
        longest: greatest ratio of the long side to ``short_side``.
    """

    def __init__(self, short_side: int, longest: float = 1.666) -> None:
        super().__init__(scale=(round(short_side * longest), short_side), keep_ratio=True)
        self.short_side = short_side
        self.longest = longest

    def transform(self, results: dict) -> dict:
        """Resize image and boxes; ``scale_factor`` becomes the one factor, twice."""
        height, width = results["img"].shape[:2]
        shrink = min(
            self.short_side / min(height, width),
            self.short_side * self.longest / max(height, width),
        )
        results["exact_factor"] = shrink
        results = super().transform(results)
        results["scale_factor"] = (results.pop("exact_factor"),) * 2
        return results

    def _resize_img(self, results: dict) -> None:
        image, factor = results["img"], results["exact_factor"]
        resized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        (height, width), (new_height, new_width) = image.shape[:2], resized.shape[:2]
        # Boxes follow the rounded size, as in mmdet and in the official code.
        results["scale_factor"] = (new_width / width, new_height / height)
        results.update(img=resized, img_shape=resized.shape[:2], keep_ratio=True)


@TRANSFORMS.register_module()
class RandomInterpolationResize(Resize):
    """mmdet's Resize with an interpolation drawn for each image."""

    modes = ("nearest", "bilinear", "bicubic", "area", "lanczos")

    @cache_randomness
    def _random_mode(self) -> str:
        return random.choice(self.modes)

    def transform(self, results: dict) -> dict:
        """Resize image and boxes."""
        self.interpolation = self._random_mode()
        return super().transform(results)
