"""Mask R-CNN's RoI head with Rank & Sort Loss: the mask branch learns from the box branch."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from torch import Tensor

from rankdet.losses import scale_to_value
from rankdet.models.box_terms import score_weighted_mean


@MODELS.register_module()
class RankSortRoIHead(StandardRoIHead):
    """StandardRoIHead whose mask loss is weighted and balanced as the box loss is.

    Per ranking pool: the Dice errors of its positives, weighted by the highest score of each RoI,
    scaled to the value of the RoIs' ranking + sorting loss (RS Loss, section 5.3).

    Args:
        mask_positives: at most so many positives of a pool train masks, drawn at random.
        align_mask_weights: each mask takes the weight of its own RoI. False repeats the official
            code, where with more positives than ``mask_positives`` the weights stand in the order
            of the draw and the masks image by image.
    """

    def __init__(
        self, *args, mask_positives: int = 200, align_mask_weights: bool = True, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.mask_positives = mask_positives
        self.align_mask_weights = align_mask_weights

    def loss(self, x: tuple[Tensor], rpn_results_list: list, batch_data_samples: list) -> dict:
        """Compute the losses of box and mask branch.

        Args:
            x: features per level (B, channels, h, w).
            rpn_results_list: per image, proposals as ``bboxes``.
            batch_data_samples: per image, the ground truth.
        """
        truths, ignored, _ = unpack_gt_instances(batch_data_samples)
        sampled = []
        for image, proposals in enumerate(rpn_results_list):
            proposals.priors = proposals.pop("bboxes")
            assigned = self.bbox_assigner.assign(proposals, truths[image], ignored[image])
            sampled.append(self.bbox_sampler.sample(assigned, proposals, truths[image]))
        ranked = self.bbox_loss(x, sampled)
        losses = dict(ranked["loss_bbox"])
        if self.with_mask:
            losses["loss_mask"] = self.ranked_mask_loss(x, sampled, truths, ranked)
        return losses

    def bbox_loss(self, x: tuple[Tensor], sampling_results: list) -> dict:
        """Return what mmdet's method returns, and the pools with their terms."""
        rois = bbox2roi([result.priors for result in sampling_results])
        outputs = self._bbox_forward(x, rois)
        found = self.bbox_head.loss_and_target(
            outputs["cls_score"], outputs["bbox_pred"], rois, sampling_results, self.train_cfg
        )
        return {**outputs, **found}

    def ranked_mask_loss(
        self, x: tuple[Tensor], sampled: list, truths: list, ranked: dict
    ) -> Tensor:
        """Return the mask loss of the step, the mean over its pools.

        Args:
            x: features per level.
            sampled: sampling results of each image.
            truths: ground truth of each image, with ``masks``.
            ranked: what `bbox_loss` returned.
        """
        counts = [len(result.pos_priors) for result in sampled]
        device = x[0].device
        image = torch.arange(len(counts), device=device).repeat_interleave(
            torch.tensor(counts, device=device), output_size=sum(counts)
        )
        chosen, weights, start = [], [], 0
        for pool in ranked["pools"]:
            stop = start + len(pool.positives)
            rows, weight = self._limit(pool.positive_scores(), image[start:stop])
            chosen.append(rows + start)
            weights.append(weight)
            start = stop
        sizes = [len(rows) for rows in chosen]
        chosen = torch.cat(chosen)
        boxes = torch.cat([result.pos_priors for result in sampled])[chosen]
        objects = torch.cat([result.pos_assigned_gt_inds for result in sampled])[chosen]
        labels = torch.cat([result.pos_gt_labels for result in sampled])[chosen]
        image = image[chosen]
        predictions = self._mask_forward(x, torch.cat([image[:, None].to(boxes), boxes], 1))
        predictions = predictions["mask_preds"]
        zero = predictions.sum() * 0
        if not len(chosen):
            return zero
        per_image = image.bincount(minlength=len(counts)).tolist()
        errors = self.mask_head.errors(
            predictions,
            labels,
            boxes.split(per_image),
            objects.split(per_image),
            truths,
            self.train_cfg,
        )
        losses = []
        for part, weight, terms in zip(
            errors.split(sizes), weights, ranked["pool_terms"], strict=True
        ):
            value = terms["loss_roi_rank"] + terms["loss_roi_sort"]
            mean = score_weighted_mean(part, weight)
            losses.append(scale_to_value(mean, value) if len(part) else zero)
        return torch.stack(losses).mean()

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Return a random order of the positives (P) of a pool with too many."""
        return torch.randperm(count, device=device)

    def _limit(self, weights: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return which positives train masks (M), image by image, and the weights of the masks."""
        if len(weights) <= self.mask_positives:
            return torch.arange(len(weights), device=weights.device), weights
        drawn = self.draw(len(weights), weights.device)[: self.mask_positives]
        grouped = drawn[image[drawn].sort(stable=True).indices]
        return grouped, weights[grouped if self.align_mask_weights else drawn]
