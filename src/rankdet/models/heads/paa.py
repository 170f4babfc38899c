"""PAA without IoU prediction and with a ranking loss."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import PAAHead
from mmdet.models.layers import multiclass_nms
from mmdet.models.utils import levels_to_images
from mmdet.registry import MODELS
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.models.boxes import giou_errors
from rankdet.models.heads.atss import ScoresOnly
from rankdet.models.heads.candidates import fit_mixtures
from rankdet.models.heads.dense import RankedDenseHead, best_anchors


@MODELS.register_module(["RankSortPAAHead", "ApPAAHead"])
class RankedPAAHead(RankedDenseHead, ScoresOnly, PAAHead):
    """PAA head with a ranking loss, whose targets are those of PAA's reassignment.

    Candidates (IoU >= 0.1) are scored by focal loss + (1 - GIoU), only for this; per object a
    mixture of two Gaussians over the best nine of each level separates the positives
    (`candidates`). All other candidates are negatives.

    Args:
        loss_candidate: the classification loss that scores candidates.
        settings: as in `RankedDenseHead` and mmdet.
    """

    def __init__(self, *args, loss_candidate: ConfigType, **settings) -> None:
        super().__init__(*args, **settings)
        self.loss_candidate = MODELS.build(loss_candidate)

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes (P, 4) in pixels."""
        return self.bbox_coder.decode(anchors, deltas)

    @torch.no_grad()
    def level_targets(self, cls_scores, bbox_preds, gt_instances, metas, ignored) -> tuple:
        """Return anchors, labels, label weights and box targets, each per level (B, hwA, ...)."""
        sizes = [scores.shape[-2:] for scores in cls_scores]
        anchors, valid = self.get_anchors(sizes, metas, device=cls_scores[0].device)
        counts = [len(level) for level in anchors[0]]
        labels, weights, box_targets, _, found, objects = self.get_targets(
            anchors, valid, gt_instances, metas, batch_gt_instances_ignore=ignored
        )
        labels, box_targets = torch.stack(labels), torch.stack(box_targets)
        anchors = torch.stack([torch.cat(levels) for levels in anchors])
        logits = torch.stack(levels_to_images(cls_scores)).view(*labels.shape, -1)
        deltas = torch.stack(levels_to_images(bbox_preds)).view(*labels.shape, 4)
        chosen = _of_batch(found), torch.cat(found)
        costs = self.candidate_costs(
            *(x[chosen] for x in (logits, deltas, anchors)), labels[chosen], box_targets[chosen]
        )
        level = torch.bucketize(chosen[1], labels.new_tensor(counts).cumsum(0), right=True)
        mixtures = fit_mixtures(costs, _distinct(objects, gt_instances), level, self.topk)
        is_negative = ~mixtures.positives(len(costs))
        labels[chosen[0][is_negative], chosen[1][is_negative]] = self.num_classes
        return tuple(
            [each.contiguous() for each in tensor.split(counts, 1)]
            for tensor in (anchors, labels, torch.stack(weights), box_targets)
        )

    def candidate_costs(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, labels: Tensor, targets: Tensor
    ) -> Tensor:
        """Return what each candidate would cost: (N, C), (N, 4), (N, 4), (N), (N, 4) -> (N)."""
        classification = self.loss_candidate(logits, labels, reduction_override="none").sum(1)
        return classification + giou_errors(self.decode(anchors, deltas), targets)

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
        """Predict one image: sigmoid scores, NMS, score voting, no predicted IoU.

        Per level the best ``nms_pre`` anchors are kept with all classes. Boxes that are clipped to
        an area of zero are dropped before the voting, which would turn them into NaN (official
        code).
        """
        cfg = self.test_cfg if cfg is None else cfg
        limit = cfg.get("nms_pre", -1)
        boxes, scores = [], []
        for logits, deltas, priors in zip(cls_score_list, bbox_pred_list, mlvl_priors, strict=True):
            rows = logits.permute(1, 2, 0).reshape(-1, self.cls_out_channels)
            kept = best_anchors(rows, limit if limit > 0 else len(rows))
            chosen = deltas.permute(1, 2, 0).reshape(-1, 4)[kept]
            boxes.append(
                self.bbox_coder.decode(priors[kept], chosen, max_shape=img_meta["img_shape"])
            )
            scores.append(rows[kept].sigmoid())
        return self._voted(torch.cat(boxes), torch.cat(scores), cfg, rescale, img_meta)

    def _voted(
        self, boxes: Tensor, scores: Tensor, cfg: ConfigType, rescale: bool, img_meta: dict
    ) -> InstanceData:
        """Return detections of boxes (K, 4) and scores (K, C) after NMS and score voting."""
        sizes = boxes[:, 2:] - boxes[:, :2]
        solid = (sizes > max(cfg.get("min_bbox_size", 0), 0)).all(1)
        boxes, scores = boxes[solid], scores[solid]
        if rescale:
            boxes = boxes / boxes.new_tensor(img_meta["scale_factor"]).repeat(1, 2)
        # multiclass_nms leaves out the last column, the background.
        scores = torch.cat([scores, scores.new_zeros(len(scores), 1)], 1)
        found, labels = multiclass_nms(boxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img)
        if self.with_score_voting and len(found):
            found, labels = self.score_voting(found, labels, boxes, scores, cfg.score_thr)
        return InstanceData(bboxes=found[:, :4], scores=found[:, 4], labels=labels)


def _of_batch(found: list[Tensor]) -> Tensor:
    """Return the image of each entry of a list of per-image tensors."""
    return torch.cat([torch.full_like(each, image) for image, each in enumerate(found)])


def _distinct(objects: list[Tensor], gt_instances: list[InstanceData]) -> Tensor:
    """Return the objects of all images, counted through the batch."""
    first = 0
    counted = []
    for of_image, truth in zip(objects, gt_instances, strict=True):
        counted.append(of_image + first)
        first += len(truth)
    return torch.cat(counted)
