"""Training data in the box convention of mmdet 1, for rows whose official code is built on it.

A box is [x, y, x + w - 1, y + h - 1]: it names its last pixel. SOLOv2 reads levels and extents of
its cells from these boxes. The AP-Loss code base has the same convention in code of its own.
"""

from __future__ import annotations

import mmcv
from mmdet.datasets.transforms import LoadAnnotations, Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, register_box

from rankdet.models.ap_code.geometry import to_pixels


@register_box("last_pixel")
class LastPixelBoxes(HorizontalBoxes):
    """mmdet's boxes (n, 4), flipped at and clipped to the last pixel of the image."""

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
