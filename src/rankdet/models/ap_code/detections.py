"""From candidates to detections: NMS, and the views of test-time augmentation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.models.ap_code.geometry import PIXEL_OFFSET, to_edges, to_pixels


def suppress(found: InstanceData, cfg: ConfigType, pixel_offset: float) -> InstanceData:
    """Apply NMS class by class, keep the best, and widen boxes to mmdet's convention.

    Args:
        found: ``bboxes`` (n, 4) with last pixels, ``scores`` and ``labels`` (n).
        cfg: ``nms`` (None applies none) and ``max_per_img`` (-1: no limit).
        pixel_offset: what a box is wider than x2 - x1.
    """
    if len(found.bboxes):
        # mmcv's kernels are float32.
        boxes, scores = found.bboxes.float(), found.scores.float()
        _, kept = batched_nms(boxes, scores, found.labels, cfg.nms)
        found = found[kept if cfg.max_per_img < 0 else kept[: cfg.max_per_img]]
    found.bboxes = to_edges(found.bboxes, pixel_offset)
    return found


def unflip(boxes: Tensor, width: float) -> Tensor:
    """Mirror boxes (n, 4) with last pixels in an image ``width`` wide, as the official code does.

    It takes x to width - x, where the mirrored pixel is width - 1 - x: boxes of flipped images are
    one pixel (of the network's input) to the right.
    """
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)


def merge_views(
    views: Sequence[InstanceData],
    metas: Sequence[dict],
    size_limits: Sequence[float],
    cfg: ConfigType,
    pixel_offset: float = PIXEL_OFFSET,
) -> InstanceData:
    """Put the candidates of all views of an image through one NMS.

    Args:
        views: candidates of each view before NMS, rescaled to the original image.
        metas: of each view: ``img_shape``, ``scale_factor`` and, for flipped ones, ``flip``.
        size_limits: of each view: the short side x2 - x1 or y2 - y1 that its boxes may have at
            most, in pixels of the original image; 0 is no limit.
        cfg: ``nms`` and ``max_per_img``.
        pixel_offset: what a box is wider than x2 - x1.
    """
    kept = []
    for found, meta, limit in zip(views, metas, size_limits, strict=True):
        boxes = to_pixels(found.bboxes, pixel_offset)
        if meta.get("flip"):
            boxes = unflip(boxes, meta["img_shape"][1] / meta["scale_factor"][0])
        is_kept = (boxes[:, 2:] - boxes[:, :2]).amin(1) <= (limit or float("inf"))
        view = InstanceData(bboxes=boxes, scores=found.scores, labels=found.labels)
        kept.append(view[is_kept])
    return suppress(InstanceData.cat(kept), cfg, pixel_offset)


@MODELS.register_module()
class PixelTTAModel(DetTTAModel):
    """mmdet's test-time augmentation with this code base's way to merge views.

    The model's own ``test_cfg.nms`` is switched off: one NMS sees the candidates of all views.

    Args:
        tta_cfg: ``nms``, ``max_per_img`` and ``size_limits``, one per view.
        settings: as in mmdet.
    """

    def __init__(self, tta_cfg: ConfigType, **settings) -> None:
        super().__init__(tta_cfg=tta_cfg, **settings)
        self.module.bbox_head.test_cfg.update(nms=None, max_per_img=-1)

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        views = [sample.pred_instances for sample in data_samples]
        metas = [sample.metainfo for sample in data_samples]
        offset = self.module.bbox_head.bbox_coder.pixel_offset
        limits = self.tta_cfg.get("size_limits", [0] * len(views))
        data_samples[0].pred_instances = merge_views(views, metas, limits, self.tta_cfg, offset)
        return data_samples[0]
