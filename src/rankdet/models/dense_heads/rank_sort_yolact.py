"""YOLACT with Rank & Sort Loss: boxes, classes and mask coefficients."""

from __future__ import annotations

import torch
from mmdet.models.dense_heads import YOLACTHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.models.box_terms import decode_on_unit_anchor
from rankdet.models.dense_heads.pools import dense_pools
from rankdet.models.dense_heads.rank_sort import RankSortTerms


@MODELS.register_module()
class RankSortYOLACTHead(RankSortTerms, YOLACTHead):
    """YOLACT's box head with Rank & Sort Loss (Oksuz et al., ICCV 2021, section 5.3).

    C sigmoid outputs in place of softmax over C + 1; all anchors are ranked, none is mined. Mask
    weights and the value that the mask loss is balanced to go to the mask head with the positives
    (`get_positive_infos`).

    Two defects of the official code are mended. It stops when no image of the batch has an object:
    here all losses are zeros with a graph. And it stops when an image is padded, because anchors
    outside the image shift the indices of the others: here indices are those of all anchors.

    Args:
        pool_images: images ranked together (DESIGN 3.5); None takes the whole batch.
    """

    def __init__(self, *args, pool_images: int | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.pool_images = pool_images

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Return boxes on the unit anchor, as the official head does."""
        return decode_on_unit_anchor(self.bbox_coder, deltas)

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        coeff_preds: list[Tensor],
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
    ) -> dict[str, Tensor]:
        """Compute ranking, sorting and box loss, and keep the positives for the mask head.

        Args:
            cls_scores: logits per level (B, A C, h, w).
            bbox_preds: deltas per level (B, A 4, h, w).
            coeff_preds: mask coefficients per level (B, A K, h, w).
            batch_gt_instances: per image ``bboxes`` (n, 4) and ``labels`` (n).
            batch_img_metas: per image.
            batch_gt_instances_ignore: per image boxes whose anchors take no part.

        Returns:
            Scalars by name: ``loss_rank``, ``loss_sort``, ``loss_bbox``.
        """
        cls_scores = [scores.float() for scores in cls_scores]
        bbox_preds = [deltas.float() for deltas in bbox_preds]
        sizes = [scores.shape[-2:] for scores in cls_scores]
        anchors, valid = self.get_anchors(sizes, batch_img_metas, device=cls_scores[0].device)
        labels, label_weights, box_targets, *_ = self.get_targets(
            anchors,
            valid,
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore=batch_gt_instances_ignore,
        )
        level_anchors = [torch.stack(level) for level in zip(*anchors, strict=True)]
        pools = dense_pools(
            cls_scores,
            bbox_preds,
            level_anchors,
            labels,
            label_weights,
            box_targets,
            self.pool_images,
        )
        collected = []
        for pool in pools:
            positives = pool.positives()
            if len(positives):
                collected.append(self.pool_losses(pool, positives))
            else:
                collected.append(dict.fromkeys(self.loss_names, pool.zero()))
        values = [(terms["loss_rank"] + terms["loss_sort"]).detach() for terms in collected]
        self._keep_positives(cls_scores, coeff_preds, labels, values)
        return {
            name: torch.stack([terms[name] for terms in collected]).mean()
            for name in self.loss_names
        }

    def _keep_positives(self, cls_scores, coeff_preds, labels, values) -> None:
        """Store what `get_positive_infos` needs, flat over (level, place, anchor) per image."""

        def rows(levels: list[Tensor], width: int) -> Tensor:
            batch = len(levels[0])
            parts = [level.permute(0, 2, 3, 1).reshape(batch, -1, width) for level in levels]
            return torch.cat(parts, 1)

        self._raw_positive_infos.update(
            labels=torch.cat(labels, 1),
            logits=rows(cls_scores, self.cls_out_channels).detach(),
            coeffs=rows(coeff_preds, self.num_protos),
            values=values,
        )

    def get_positive_infos(self) -> list[InstanceData]:
        """Return the positives (P) of each image for the mask head.

        Fields: ``pos_inds`` among all anchors, ``pos_assigned_gt_inds``, ``bboxes`` of their ground
        truth (P, 4), ``coeffs`` (P, K), ``weights`` = highest score over all classes. Meta fields:
        ``pool``, the image's ranking pool, and ``value``, ranking + sorting loss of that pool.
        """
        raw = self._raw_positive_infos
        found = []
        for image, sampled in enumerate(raw["sampling_results"]):
            # The sampler counts valid anchors only; in both counts the order is ascending.
            positives = (raw["labels"][image] < self.num_classes).nonzero().squeeze(1)
            pool = image // (self.pool_images or len(raw["labels"]))
            found.append(
                InstanceData(
                    metainfo={"pool": pool, "value": raw["values"][pool]},
                    pos_inds=positives,
                    pos_assigned_gt_inds=sampled.pos_assigned_gt_inds,
                    bboxes=sampled.pos_gt_bboxes,
                    coeffs=raw["coeffs"][image, positives],
                    weights=raw["logits"][image, positives].sigmoid().amax(1),
                )
            )
        self._raw_positive_infos = {}
        return found
