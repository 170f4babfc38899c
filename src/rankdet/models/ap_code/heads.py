"""The heads of the AP-Loss code base, and how its detections are selected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.ops import batched_nms
from mmdet.models.backbones import ResNet
from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.models.detectors import RetinaNet
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.models.utils import filter_scores_and_topk
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rankdet.models.ap_code.geometry import PIXEL_OFFSET, to_edges, to_pixels
from rankdet.models.ap_code.training import WindowedSelfBalance
from rankdet.models.boxes import decode_on_unit_anchor
from rankdet.models.heads.dense import RankedDenseHead


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


@MODELS.register_module()
class PixelRetinaNet(RetinaNet):
    """mmdet's RetinaNet; its name marks models whose checkpoints have names of the AP-Loss code."""


@MODELS.register_module()
class StemBiasResNet(ResNet):
    """mmdet's ResNet whose first convolution has a bias, as the original ResNet-50 release has."""

    def _make_stem_layer(self, in_channels: int, stem_channels: int) -> None:
        super()._make_stem_layer(in_channels, stem_channels)
        self.conv1.register_parameter("bias", nn.Parameter(torch.zeros(stem_channels)))


@MODELS.register_module()
class PixelRetinaHead(RankedDenseHead, RetinaHead):
    """RetinaNet head with a ranking loss whose boxes name their last pixel.

    Ground truth enters as boxes with last pixels. For aLRP Loss boxes are decoded on an anchor of
    width 1, and then measured as if x2 named a pixel: a width of 1 counts as 2. Errors are about
    halved by that. The published models were trained with it.
    """

    balance = WindowedSelfBalance

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) on the unit anchor, one unit wider than they are."""
        unit_coder = DeltaXYWHBBoxCoder(target_stds=self.bbox_coder.stds)
        return to_edges(decode_on_unit_anchor(unit_coder, deltas))

    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hwA, ...).

        Assignment and encoding run in float64 like the anchors; the loss step is in float32.
        """
        truth = [
            InstanceData(bboxes=self.pixels(image.bboxes), labels=image.labels)
            for image in gt_instances
        ]
        found = super().level_targets(cls_scores, bbox_preds, truth, metas, None)
        anchors, labels, weights, box_targets = found
        return _single(anchors), labels, _single(weights), _single(box_targets)

    def pixels(self, boxes: Tensor) -> Tensor:
        """Return boxes (n, 4) of the data as the head computes with them."""
        return to_pixels(boxes.double(), self.bbox_coder.pixel_offset)

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor | None],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        cfg: ConfigType | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceData:
        """Predict one image from its candidates, in mmdet's box convention and in float64.

        NMS sees the boxes with last pixels, hence one pixel smaller than they are.
        """
        cfg = self.test_cfg if cfg is None else cfg
        found = self.candidates(cls_score_list, bbox_pred_list, img_meta, cfg)
        if rescale:
            found.bboxes = found.bboxes / found.bboxes.new_tensor([*img_meta["scale_factor"]] * 2)
        if not with_nms:
            found.bboxes = to_edges(found.bboxes, self.bbox_coder.pixel_offset)
            return found
        return suppress(found, cfg, self.bbox_coder.pixel_offset)

    def candidates(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], meta: dict, cfg: ConfigType
    ) -> InstanceData:
        """Return the entries of one image that go to NMS.

        Per level the best ``nms_pre`` (anchor, class) entries above ``score_thr``; the coarsest
        level has a threshold of its own, ``top_level_score_thr``.

        Args:
            cls_scores: logits per level (A C, h, w).
            bbox_preds: deltas per level (A 4, h, w).
            meta: of the image; boxes are clipped to ``img_shape``, without padding.
            cfg: the test settings.

        Returns:
            ``bboxes`` (n, 4) with last pixels in float64, ``scores`` and ``labels`` (n).
        """
        sizes = [scores.shape[-2:] for scores in cls_scores]
        anchors = self.prior_generator.grid_priors(sizes, device=cls_scores[0].device)
        levels = []
        for level, (logits, deltas) in enumerate(zip(cls_scores, bbox_preds, strict=True)):
            is_top = level == len(sizes) - 1
            threshold = cfg.top_level_score_thr if is_top else cfg.score_thr
            scores, labels, kept, _ = filter_scores_and_topk(
                logits.permute(1, 2, 0).reshape(-1, self.cls_out_channels).sigmoid(),
                threshold,
                cfg.nms_pre,
            )
            boxes = self.bbox_coder.decode(
                anchors[level][kept],
                deltas.permute(1, 2, 0).reshape(-1, 4)[kept],
                max_shape=meta["img_shape"],
            )
            levels.append(InstanceData(bboxes=boxes, scores=scores, labels=labels))
        return InstanceData.cat(levels)


@MODELS.register_module()
class PixelATSSRetinaHead(PixelRetinaHead):
    """`PixelRetinaHead` with ATSS assignment, see `RankedATSSRetinaHead`."""

    get_targets = ATSSHead.get_targets
    _get_targets_single = ATSSHead._get_targets_single
    get_num_level_anchors_inside = ATSSHead.get_num_level_anchors_inside


def _single(levels: list[Tensor]) -> list[Tensor]:
    return [level.float() for level in levels]
