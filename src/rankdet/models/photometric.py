"""SSD's color distortion as mmdet 1 and 2 had it."""

from __future__ import annotations

from dataclasses import dataclass

import mmcv
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.registry import TRANSFORMS

FULL_TURN = 360  # degrees of hue


@dataclass(frozen=True)
class Distortion:
    """What is drawn for one image; None leaves that property alone.

    Attributes:
        brightness: added to every channel.
        contrast: factor of every channel.
        contrast_first: whether the contrast changes before the colors, or after them.
        saturation: factor of the saturation in HSV.
        hue: degrees that are added to the hue.
        order: the new order of the channels (3).
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = False
    saturation: float | None = None
    hue: float | None = None
    order: np.ndarray | None = None


@TRANSFORMS.register_module()
class SsdPhotometricDistortion(PhotoMetricDistortion):
    """mmdet's distortion of brightness, contrast, saturation, hue and channel order, not clipped.

    mmdet 3.3 clips a raised saturation to [0, 1], which changes an image by up to 77 gray levels;
    SSD and mmdet 1 and 2 do not. Numbers are drawn one after the other as those did, so that the
    same seed of NumPy gives the same image.

    Args:
        swap: whether the channels may be swapped; otherwise as in mmdet.
    """

    def __init__(self, *args, swap: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.swap = swap

    @cache_randomness
    def draw(self) -> Distortion:
        """Draw the distortion of one image."""
        random = np.random

        def maybe(low: float, high: float) -> float | None:
            return random.uniform(low, high) if random.randint(2) else None

        found = {"brightness": maybe(-self.brightness_delta, self.brightness_delta)}
        found["contrast_first"] = first = random.randint(2) == 1
        contrast = (self.contrast_lower, self.contrast_upper)
        if first:
            found["contrast"] = maybe(*contrast)
        found["saturation"] = maybe(self.saturation_lower, self.saturation_upper)
        found["hue"] = maybe(-self.hue_delta, self.hue_delta)
        if not first:
            found["contrast"] = maybe(*contrast)
        if self.swap and random.randint(2):
            found["order"] = random.permutation(3)
        return Distortion(**found)

    def transform(self, results: dict) -> dict:
        """Distort a BGR image (h, w, 3)."""
        results["img"] = distort(results["img"].astype(np.float32), self.draw())
        return results


def distort(image: np.ndarray, drawn: Distortion) -> np.ndarray:
    """Return a float32 BGR image (h, w, 3) with its colors changed; values may leave 0..255."""
    if drawn.brightness is not None:
        image = image + np.float32(drawn.brightness)
    if drawn.contrast is not None and drawn.contrast_first:
        image = image * np.float32(drawn.contrast)
    hsv = mmcv.bgr2hsv(image)
    if drawn.saturation is not None:
        hsv[..., 1] *= drawn.saturation
    if drawn.hue is not None:
        hue = hsv[..., 0]
        hue += drawn.hue
        hue[hue > FULL_TURN] -= FULL_TURN
        hue[hue < 0] += FULL_TURN
    image = mmcv.hsv2bgr(hsv)
    if drawn.contrast is not None and not drawn.contrast_first:
        image = image * np.float32(drawn.contrast)
    return image if drawn.order is None else image[..., drawn.order]
