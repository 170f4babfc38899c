"""YOLACT's prototype head with the mask loss of Rank & Sort."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import YOLACTProtonet
from mmdet.registry import MODELS
from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.box_terms import score_weighted_mean


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

        Returns:
            ``loss_mask``, the mean over the pools; zero with a graph where no image has an object.
        """
        mask_preds = [masks.float() for masks in mask_preds]
        cropped = self.crop_mask_preds(mask_preds, batch_img_metas, positive_infos)
        pools: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for masks, instances, positives in zip(
            cropped, batch_gt_instances, positive_infos, strict=True
        ):
            members = pools.setdefault(positives.pool, [])
            if len(positives):
                targets = (_resized(instances, masks.shape[-2:]) > 0.5).float()
                targets = targets[positives.pos_assigned_gt_inds]
                errors = self.loss_mask(masks, targets, reduction_override="none")
                members.append((errors, positives.weights, positives.value))
        # Attached to prototypes and coefficients also where the batch has no positives at all.
        attached = sum(masks.sum() for masks in mask_preds) * 0
        balanced = [_balanced(members) for members in pools.values() if members]
        return {"loss_mask": attached + sum(balanced) / len(pools)}


def _resized(instances, size: tuple[int, int]) -> Tensor:
    """Return the ground truth at the prototypes' resolution, bilinearly: (n, h, w) in 0..1."""
    full = instances.masks.to_tensor(dtype=torch.float32, device=instances.bboxes.device)
    return F.interpolate(full[None], size, mode="bilinear", align_corners=False)[0]


def _balanced(members: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Return the mask loss of one pool, from errors (P) and weights (P) of each of its images."""
    errors, weights, values = zip(*members, strict=True)
    mean = score_weighted_mean(torch.cat(errors), torch.cat(weights))
    return scale_to_value(mean, values[0])
