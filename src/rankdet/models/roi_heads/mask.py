"""Mask R-CNN's mask head with one Dice error per positive."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures.mask import mask_target
from torch import Tensor


@MODELS.register_module()
class RankSortFCNMaskHead(FCNMaskHead):
    """mmdet's four convolutions; ``loss_mask`` is mmdet's DiceLoss with ``reduction="none"``.

    The official error is 1 - 2 sum(x y) / (sum(x^2) + sum(y^2) + 1e-5) on the sigmoid of the
    ground-truth class's map; DiceLoss adds its ``eps`` to each of the two sums: eps = 5e-6. The
    weighting is `rankdet.models.roi_heads.standard.RankSortRoIHead`'s.
    """

    def errors(
        self,
        mask_preds: Tensor,
        labels: Tensor,
        boxes: list[Tensor],
        objects: list[Tensor],
        truths: list,
        cfg: dict,
    ) -> Tensor:
        """Return the Dice error of each positive (M), in the order of the predictions.

        Args:
            mask_preds: logits (M, C, h, w), image by image.
            labels: class of each (M).
            boxes: RoIs of each image (m, 4); they cut the targets out.
            objects: index of the ground truth of each, of each image (m).
            truths: ground truth of each image, with ``masks``.
            cfg: training config of the RoI head, with ``mask_size``.
        """
        targets = mask_target(boxes, objects, [truth.masks for truth in truths], cfg)
        rows = torch.arange(len(labels), device=labels.device)
        channels = torch.zeros_like(labels) if self.class_agnostic else labels
        return self.loss_mask(mask_preds[rows, channels].float(), targets)
