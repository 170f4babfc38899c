"""The RetinaNet of the AP-Loss code base: detector, backbone, heads."""

from __future__ import annotations

import torch
from mmdet.models.backbones import ResNet
from mmdet.models.dense_heads import ATSSHead, RetinaHead
from mmdet.models.detectors import RetinaNet
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.models.utils import filter_scores_and_topk
from mmdet.registry import MODELS
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor, nn

from rankdet.models.ap_code.detections import suppress
from rankdet.models.ap_code.geometry import to_edges, to_pixels
from rankdet.models.ap_code.self_balance import WindowedSelfBalance
from rankdet.models.boxes import decode_on_unit_anchor
from rankdet.models.heads.dense import RankedDenseHead


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
