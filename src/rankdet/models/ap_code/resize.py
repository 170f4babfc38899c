"""Resizing in this code base."""

from __future__ import annotations

import random

import cv2
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import Resize
from mmdet.registry import TRANSFORMS


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
    """mmdet's Resize with an interpolation drawn anew for each image."""

    modes = ("nearest", "bilinear", "bicubic", "area", "lanczos")

    @cache_randomness
    def _random_mode(self) -> str:
        return random.choice(self.modes)

    def transform(self, results: dict) -> dict:
        """Resize image and boxes."""
        self.interpolation = self._random_mode()
        return super().transform(results)
