"""Data sets and transforms where official code differs from mmdet 3.3.

LVIS without the `lvis` package, boxes of mmdet 1, and SSD's color distortion of mmdet 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmdet.datasets import CocoDataset
from mmdet.datasets.lvis import LVISV1Dataset
from mmdet.datasets.transforms import LoadAnnotations, PhotoMetricDistortion, Resize
from mmdet.registry import DATASETS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, register_box

from rankdet.models.ap_code.geometry import to_pixels

FULL_TURN = 360  # degrees of hue


@DATASETS.register_module()
class LvisDataset(CocoDataset):
    """Reads LVIS v1 and COCO JSON through pycocotools.

    mmdet's LVISV1Dataset needs the `lvis` package, which stops with NumPy 1.24 and later. An LVIS
    file names images by ``coco_url`` only, because its splits mix the folders of COCO 2017:
    ``data_prefix`` is then the folder that holds both. For repeat factors wrap it in mmdet's
    ClassBalancedDataset, which counts the images of each class: of every annotation, those too
    small or outside of the image included, as in mmdet 2. mmdet 3.3 counts what it trains on.
    """

    METAINFO = {"classes": LVISV1Dataset.METAINFO["classes"]}

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Return mmdet's form of one image and its annotations."""
        image = raw_data_info["raw_img_info"]
        if "file_name" not in image:
            image["file_name"] = "/".join(image["coco_url"].split("/")[-2:])
        info = super().parse_data_info(raw_data_info)
        named = {annotation["category_id"] for annotation in raw_data_info["raw_ann_info"]}
        return info | {"category_ids": sorted(named)}

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the ids of all categories that an image is annotated with."""
        return self.get_data_info(idx)["category_ids"]


@register_box("last_pixel")
class LastPixelBoxes(HorizontalBoxes):
    """mmdet's boxes (n, 4), flipped at and clipped to the last pixel of the image.

    The convention of mmdet 1: [x, y, x + w - 1, y + h - 1]. RS-SOLOv2 reads levels and extents of
    its cells from such boxes. The AP-Loss code base has the same convention in code of its own.
    """

    def flip_(self, img_shape: tuple[int, int], direction: str = "horizontal") -> None:
        """Flip in place; ``img_shape`` is height and width."""
        super().flip_((img_shape[0] - 1, img_shape[1] - 1), direction)

    def clip_(self, img_shape: tuple[int, int]) -> None:
        """Clip in place; ``img_shape`` is height and width."""
        super().clip_((img_shape[0] - 1, img_shape[1] - 1))


@TRANSFORMS.register_module()
class LoadLastPixelAnnotations(LoadAnnotations):
    """mmdet's LoadAnnotations, with boxes that name their last pixel."""

    def _load_bboxes(self, results: dict) -> None:
        super()._load_bboxes(results)
        results["gt_bboxes"] = LastPixelBoxes(to_pixels(results["gt_bboxes"].tensor))


@TRANSFORMS.register_module()
class OneFactorResize(Resize):
    """mmdet's Resize with ``keep_ratio``, whose boxes follow the one factor of both axes.

    mmdet 2 and 3 scale boxes to the rounded size of the image, by one factor for each axis.
    """

    def _resize_img(self, results: dict) -> None:
        height, width = results["img"].shape[:2]
        _, factor = mmcv.rescale_size((width, height), results["scale"], return_scale=True)
        super()._resize_img(results)
        results["scale_factor"] = (factor, factor)


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

        found: dict[str, Any] = {"brightness": maybe(-self.brightness_delta, self.brightness_delta)}
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
