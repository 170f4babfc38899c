"""The augmentation of this code base where it is not SSD's, as mmdet has it.

Source: specification of the official augmentation (read, not run): its constants are those of the
specification, the principal components those of Krizhevsky et al. 2012, in use everywhere.
"""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import MinIoURandomCrop
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, autocast_box_type

# Principal components of ImageNet's colours in 0..255: their spread, and axes by column (R, G, B).
EIGENVALUES = np.array([55.46, 4.794, 1.148])
EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)
TRIALS = 50  # patches that are drawn for one threshold


@TRANSFORMS.register_module()
class LightingNoise(BaseTransform):
    """Add one random colour along the principal components of natural images.

    Args:
        std: of the component's strength.
        prob: probability of adding any.
    """

    def __init__(self, std: float = 0.1, prob: float = 0.5) -> None:
        self.std = std
        self.prob = prob

    @cache_randomness
    def _random_colour(self) -> np.ndarray:
        if np.random.uniform() >= self.prob:
            return np.zeros(3)
        return EIGENVECTORS @ (EIGENVALUES * np.random.normal(0, self.std, 3))

    def transform(self, results: dict) -> dict:
        """Change the colours of a BGR image (h, w, 3)."""
        colour = self._random_colour()[::-1].astype(np.float32)
        results["img"] = results["img"].astype(np.float32) + colour
        return results


@TRANSFORMS.register_module()
class OneOverlapCrop(MinIoURandomCrop):
    """mmdet's `MinIoURandomCrop`, but one box that overlaps the patch enough will do.

    SSD and mmdet ask for it of every box.
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
        """Crop in place and return True, or return False if the patch does not suit."""
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
