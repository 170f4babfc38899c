"""YOLACT with Rank & Sort Loss: boxes and classes, then prototypes and masks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import YOLACTHead, YOLACTProtonet
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.losses import RankingPools
from rankdet.models.heads.dense import RankedDenseHead
from rankdet.models.steps.rank_sort import balanced_mean


@MODELS.register_module()
class RankSortYOLACTHead(RankedDenseHead, YOLACTHead):
    """YOLACT's box head with Rank & Sort Loss (Oksuz et al., ICCV 2021, section 5.3).

    C sigmoid outputs in place of softmax over C + 1; all anchors are ranked, none is mined. Mask
    weights and the value that the mask loss is balanced to go to the mask head with the positives
    (`get_positive_infos`).

    Two defects of the official code are fixed. It stops when no image of the batch has an object:
    here all losses are zeros with a graph. And it stops when an image is padded, because anchors
    outside the image shift the indices of the others: here indices are those of all anchors.
    """

    _raw_positive_infos: dict[str, Any]
    # Fast NMS chooses its own candidates.
    _predict_by_feat_single = YOLACTHead._predict_by_feat_single

    def loss_by_feat(  # type: ignore[override]
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
        found = self.batch_losses(
            cls_scores, bbox_preds, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore
        )

        def rows(levels: list[Tensor], width: int) -> Tensor:
            batch = len(levels[0])
            parts = [level.permute(0, 2, 3, 1).reshape(batch, -1, width) for level in levels]
            return torch.cat(parts, 1)

        # For `get_positive_infos`, flat over (level, place, anchor) per image.
        self._raw_positive_infos.update(
            logits=rows([level.float() for level in cls_scores], self.cls_out_channels).detach(),
            coeffs=rows(coeff_preds, self.num_protos),
            values=[(ranking + sorting).detach() for ranking, sorting, _ in found.terms],
        )
        return found.losses

    def level_targets(self, *inputs) -> tuple:
        """Return the targets of `RankedDenseHead`, and keep the labels for the mask head."""
        targets = super().level_targets(*inputs)
        self._raw_positive_infos["labels"] = torch.cat(targets[1], 1)
        return targets

    def get_positive_infos(self) -> list[InstanceData]:
        """Return the positives (P) of each image for the mask head.

        Fields: ``pos_inds`` among all anchors, ``pos_assigned_gt_inds``, ``bboxes`` of their ground
        truth (P, 4), ``coeffs`` (P, K), ``weights`` = highest score over all classes. Meta fields:
        ``pool_images`` of the head, ``pool``, the image's ranking pool, and ``value``, ranking +
        sorting loss of that pool.
        """
        raw = self._raw_positive_infos
        self._raw_positive_infos = {}
        sampled = raw["sampling_results"]
        found = []
        for pool, images in enumerate(RankingPools(self.pool_images).slices(len(sampled))):
            meta = {"pool_images": self.pool_images, "pool": pool, "value": raw["values"][pool]}
            for image in range(images.start, images.stop):
                # The sampler counts valid anchors only; in both counts the order is ascending.
                positives = (raw["labels"][image] < self.num_classes).nonzero().squeeze(1)
                info = InstanceData(
                    metainfo=meta,
                    pos_inds=positives,
                    pos_assigned_gt_inds=sampled[image].pos_assigned_gt_inds,
                    bboxes=sampled[image].pos_gt_bboxes,
                    coeffs=raw["coeffs"][image, positives],
                    weights=raw["logits"][image, positives].sigmoid().amax(1),
                )
                found.append(info)
        return found


@MODELS.register_module()
class RankSortYOLACTProtonet(YOLACTProtonet):
    """Prototypes and masks; Dice in place of cross-entropy (Rank & Sort Loss, section 5.3).

    The Dice errors of all positives of a pool are averaged with the scores of their anchors as
    weights, and balanced to the value of ranking + sorting. There is no semantic branch, no
    weighting by area, and no limit on the masks of an image (``max_masks_to_train`` is not read).
    Predicted masks are cropped by the ground-truth box, their targets are not.

    Expects the positives of `RankSortYOLACTHead`.

    Args:
        loss_mask: gives one error per mask: mmdet's DiceLoss without activation and reduction. The
            official one adds 1e-5 to the denominator, DiceLoss its ``eps`` to both sums in it.
    """

    def __init__(self, *args, loss_mask: dict, with_seg_branch: bool = False, **kwargs) -> None:
        super().__init__(*args, with_seg_branch=with_seg_branch, **kwargs)
        self.loss_mask = MODELS.build(loss_mask)

    def loss_by_feat(
        self,
        mask_preds: list[Tensor],
        segm_preds: None,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        positive_infos: list,
        **kwargs,
    ) -> dict[str, Tensor]:
        """Compute the mask loss of a batch.

        Args:
            mask_preds: per image, masks of its positives after the sigmoid (h, w, P).
            segm_preds: nothing; there is no semantic branch.
            batch_gt_instances: per image ``masks``, padded to the size of the batch.
            batch_img_metas: per image.
            positive_infos: per image, see `RankSortYOLACTHead.get_positive_infos`.
            **kwargs: not read.

        Returns:
            ``loss_mask``, the mean over the pools; zero with a graph where no image has an object.
        """
        mask_preds = [masks.float() for masks in mask_preds]
        cropped = self.crop_mask_preds(mask_preds, batch_img_metas, positive_infos)
        # Attached to prototypes and coefficients also where the batch has no positives at all.
        attached = torch.stack([masks.sum() for masks in mask_preds]).sum() * 0

        def mask_loss(images: slice) -> Tensor:
            members = zip(
                cropped[images], batch_gt_instances[images], positive_infos[images], strict=True
            )
            errors = [self._errors(*each) for each in members if len(each[2])]
            if not errors:
                return attached
            positives = [each for each in positive_infos[images] if len(each)]
            weights = torch.cat([each.weights for each in positives])
            return balanced_mean(torch.cat(errors), weights, positives[0].value)

        pools = RankingPools(positive_infos[0].pool_images)
        return {"loss_mask": attached + pools.mean(len(positive_infos), mask_loss)}

    def _errors(self, masks: Tensor, instances: InstanceData, positives: InstanceData) -> Tensor:
        """Return the Dice error of each positive of an image (P), from its masks (P, h, w)."""
        targets = (_resized(instances, masks.shape[-2:]) > 0.5).float()
        targets = targets[positives.pos_assigned_gt_inds]
        return self.loss_mask(masks, targets, reduction_override="none")


def _resized(instances: InstanceData, size: torch.Size) -> Tensor:
    """Return the ground truth at the prototypes' resolution, bilinearly: (n, h, w) in 0..1."""
    full = instances.masks.to_tensor(dtype=torch.float32, device=instances.bboxes.device)
    return F.interpolate(full[None], size, mode="bilinear", align_corners=False)[0]
