"""RoI heads with a ranking loss: the box head, and the mask branch balanced to it."""

from __future__ import annotations

from itertools import accumulate

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import mask_target
from mmdet.utils import ConfigType
from torch import Tensor

from rankdet.losses import RankingPools
from rankdet.models.boxes import check_gradient_scale, scale_gradient
from rankdet.models.pools import PoolLosses, RankedPool, Terms, attach_step, pool_losses
from rankdet.models.steps.rank_sort import balanced_mean


@MODELS.register_module()
class RankedShared2FCBBoxHead(Shared2FCBBoxHead):
    """Two shared FCs, C sigmoid outputs without background, and a ranking loss.

    All RoIs that the sampler keeps are ranked, of every stage of a cascade apart. Box terms are
    computed on boxes in the image.

    Args:
        loss_step: config of a loss step of `rankdet.models.steps`.
        pool_images: images ranked together; None takes the whole batch.
        self_balance: arguments of the head's self-balance, beside `AlrpStep`; the RPN has its own.
        box_gradient_scale: factor on the gradient of the box branch, see `scale_gradient`; 7.1324
            as published for Parameterized AP Loss.
        settings: as in mmdet; ``reg_decoded_bbox`` has to be True.
    """

    place = "roi_"

    def __init__(
        self,
        *args,
        loss_step: ConfigType,
        pool_images: int | None = None,
        self_balance: ConfigType | None = None,
        box_gradient_scale: float = 1.0,
        **settings,
    ) -> None:
        check_gradient_scale(box_gradient_scale)
        super().__init__(*args, **settings)
        self.box_gradient_scale = box_gradient_scale
        attach_step(self, loss_step, pool_images, self_balance)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, C) and deltas (N, 4 C), or (N, 4) if class-agnostic, of features."""
        logits, deltas = super().forward(x)
        return logits, scale_gradient(deltas, self.box_gradient_scale)

    def step_terms(self, pool: RankedPool) -> Terms:
        """Return the loss terms of one pool with positives."""
        return self.loss_step(pool, self.loss_cls, self.loss_bbox)

    def loss_and_target(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        sampling_results: list,
        rcnn_train_cfg: dict,
        concat: bool = True,
        reduction_override: str | None = None,
    ) -> dict:
        """Compute the losses of all RoIs of a batch.

        Args:
            cls_score: logits (N, C).
            bbox_pred: deltas (N, 4 C), or (N, 4) if class-agnostic.
            rois: image index and box (N, 5), image by image.
            sampling_results: of each image; what the sampler kept is ranked, all of it.
            rcnn_train_cfg: mmdet's training config of the stage.
            concat: not read.
            reduction_override: not read.

        Returns:
            ``loss_bbox``: scalars by name; zeros attached to both outputs where no pool has a
            positive. ``bbox_targets``: as mmdet, for cascades. ``ranked``: the `PoolLosses`, for a
            mask head.
        """
        targets = self.get_targets(sampling_results, rcnn_train_cfg, concat=True)
        labels, label_weights, box_targets, _ = targets
        logits, deltas = cls_score.float(), bbox_pred.float()
        starts = [0, *accumulate(len(result.priors) for result in sampling_results)]

        def pool_of(images: slice) -> RankedPool:
            rows = slice(starts[images.start], starts[images.stop])
            return RankedPool(
                logits=logits[rows],
                deltas=deltas[rows],
                priors=rois[rows, 1:],
                labels=labels[rows],
                label_weights=label_weights[rows],
                box_targets=box_targets[rows],
                decode=self.bbox_coder.decode,
                targets_are_boxes=self.reg_decoded_bbox,
            )

        found = pool_losses(self, len(sampling_results), pool_of)
        return dict(loss_bbox=found.losses, bbox_targets=targets, ranked=found)


@MODELS.register_module()
class RankSortFCNMaskHead(FCNMaskHead):
    """mmdet's four convolutions; ``loss_mask`` is mmdet's DiceLoss with ``reduction="none"``.

    The official error is 1 - 2 sum(x y) / (sum(x^2) + sum(y^2) + 1e-5) on the sigmoid of the
    ground-truth class's map; DiceLoss adds its ``eps`` to each of the two sums: eps = 5e-6. The
    weighting is `RankSortRoIHead`'s.
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


@MODELS.register_module()
class RankSortRoIHead(StandardRoIHead):
    """StandardRoIHead whose mask loss is weighted and balanced as the box loss is.

    Per ranking pool: the Dice errors of its positives, weighted by the highest score of each RoI,
    scaled to the value of the RoIs' ranking + sorting loss (Oksuz et al., ICCV 2021, section 5.3).

    Args:
        mask_positives: at most so many positives of a pool train masks, drawn at random.
        align_mask_weights: each mask takes the weight of its own RoI. False repeats the official
            code, where with more positives than ``mask_positives`` the weights are in the order of
            the draw and the masks image by image.
        settings: as in mmdet.
    """

    def __init__(
        self, *args, mask_positives: int = 200, align_mask_weights: bool = True, **settings
    ) -> None:
        super().__init__(*args, **settings)
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
        boxes = self.bbox_loss(x, sampled)
        losses = dict(boxes["loss_bbox"])
        if self.with_mask:
            losses["loss_mask"] = self.ranked_mask_loss(x, sampled, truths, boxes["ranked"])
        return losses

    def bbox_loss(self, x: tuple[Tensor], sampling_results: list) -> dict:
        """Return what mmdet's method returns, and the `PoolLosses` as ``ranked``."""
        rois = bbox2roi([result.priors for result in sampling_results])
        outputs = self._bbox_forward(x, rois)
        found = self.bbox_head.loss_and_target(
            outputs["cls_score"], outputs["bbox_pred"], rois, sampling_results, self.train_cfg
        )
        return {**outputs, **found}

    def ranked_mask_loss(
        self, x: tuple[Tensor], sampled: list, truths: list, ranked: PoolLosses
    ) -> Tensor:
        """Return the mask loss of the step, the mean over its pools.

        Args:
            x: features per level.
            sampled: sampling results of each image.
            truths: ground truth of each image, with ``masks``.
            ranked: the losses of the box branch.
        """
        counts = [len(result.pos_priors) for result in sampled]
        device = x[0].device
        image = torch.arange(len(counts), device=device).repeat_interleave(
            torch.tensor(counts, device=device), output_size=sum(counts)
        )
        pools = RankingPools(self.bbox_head.pool_images)
        kept, balance, start = [], {}, 0
        for images, pool, terms in zip(
            pools.slices(len(sampled)), ranked.pools, ranked.terms, strict=True
        ):
            stop = start + len(pool.positives)
            rows, weights = self._limit(pool.positive_scores, image[start:stop])
            kept.append(rows + start)
            balance[images.start] = weights, terms[0] + terms[1]
            start = stop
        chosen = torch.cat(kept)
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
        ).split(per_image)

        def mask_term(images: slice) -> Tensor:
            part = torch.cat(errors[images])
            return balanced_mean(part, *balance[images.start]) if len(part) else zero

        return pools.mean(len(sampled), mask_term)

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
