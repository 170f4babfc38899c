"""From predictions to detections."""

from __future__ import annotations

from mmcv.ops import batched_nms
from mmdet.models.utils import filter_scores_and_topk
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.models.ap_code.pixel_boxes import to_edges


class PixelDecoding:
    """Mixin in front of an anchor head of mmdet: its candidates, and boxes with last pixels.

    Per level the best ``nms_pre`` (anchor, class) entries above ``score_thr``; the coarsest level
    has a threshold of its own, ``top_level_score_thr``. NMS sees the boxes with last pixels, hence
    one pixel smaller than they are; what is returned has mmdet's convention, in float64.
    """

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
