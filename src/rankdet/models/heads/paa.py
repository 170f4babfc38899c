"""PAA without IoU prediction and with a ranking loss, and PAA's choice of positives.

Per object two Gaussians are fitted to what its candidates would cost (Kim and Lee, Probabilistic
Anchor Assignment, ECCV 2020, section 3 and figure 3 (c)), for all objects of a batch at once and in
float64. One fit per object, as is usual, takes more time than the network; and in float32 it fails
at costs that are nearly equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from mmdet.models.dense_heads import PAAHead
from mmdet.models.layers import multiclass_nms
from mmdet.models.utils import levels_to_images
from mmdet.registry import MODELS
from mmdet.utils import ConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from rankdet.models.boxes import giou_errors
from rankdet.models.heads.dense import RankedDenseHead, ScoresOnly, best_anchors

ITERATIONS = 100
CHANGE = 1e-3  # of the mean log-likelihood, below which a fit is done


@MODELS.register_module()
class RankedPAAHead(RankedDenseHead, ScoresOnly, PAAHead):
    """PAA head with a ranking loss, whose targets are those of PAA's reassignment.

    Candidates (IoU >= 0.1) are scored by focal loss + (1 - GIoU), only for this; per object a
    mixture of two Gaussians over the best nine of each level separates the positives
    (`fit_mixtures`). All other candidates are negatives.

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
            logits[chosen], deltas[chosen], anchors[chosen], labels[chosen], box_targets[chosen]
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


@dataclass(frozen=True)
class Mixtures:
    """The fits of G objects with at most K candidates each, by rising cost.

    Attributes:
        index: which candidate is at this place (G, K).
        is_candidate: whether one does (G, K).
        is_better: whether the Gaussian of the lower costs owns it (G, K).
        log_likelihood: under the mixture (G, K).
    """

    index: Tensor
    is_candidate: Tensor
    is_better: Tensor
    log_likelihood: Tensor

    def positives(self, count: int) -> Tensor:
        """Return which of the ``count`` candidates become positive.

        Of an object's candidates in the better Gaussian, those up to the likeliest. An object with
        a single candidate cannot be fitted and stays without positives.
        """
        can_fit = self.is_candidate.sum(1, keepdim=True) > 1
        chosen = self.is_better & self.is_candidate & can_fit
        likelihood = self.log_likelihood.masked_fill(~chosen, -math.inf)
        places = torch.arange(chosen.shape[1], device=chosen.device)
        chosen &= places <= likelihood.argmax(1, keepdim=True)
        is_positive = torch.zeros(count, dtype=torch.bool, device=chosen.device)
        is_positive[self.index[chosen]] = True
        return is_positive


def fit_mixtures(costs: Tensor, objects: Tensor, levels: Tensor, top_k: int) -> Mixtures:
    """Fit the best ``top_k`` candidates of every level of every object.

    Args:
        costs: what each candidate would cost (N).
        objects: its object, from 0 (N).
        levels: its level of the pyramid, from 0 (N).
        top_k: candidates of each level of an object.
    """
    costs = costs.double()
    by_cost = costs.argsort(stable=True)
    groups = objects * (int(levels.max()) + 1 if len(levels) else 1) + levels
    order = by_cost[groups[by_cost].argsort(stable=True)]
    kept = order[_place_in_group(groups[order]) < top_k]
    kept = kept[costs[kept].argsort(stable=True)]
    kept = kept[objects[kept].argsort(stable=True)]
    column = _place_in_group(objects[kept])
    size = (int(objects.max()) + 1, int(column.max()) + 1) if len(kept) else (0, 1)
    index = torch.zeros(size, dtype=torch.long, device=costs.device)
    is_candidate = torch.zeros(size, dtype=torch.bool, device=costs.device)
    index[objects[kept], column] = kept
    is_candidate[objects[kept], column] = True
    return Mixtures(index, is_candidate, *two_gaussians(costs[index], is_candidate))


def _place_in_group(groups: Tensor) -> Tensor:
    """Return 0, 1, 2, ... within each run of equal numbers (N)."""
    places = torch.arange(len(groups), device=groups.device)
    sizes = torch.unique_consecutive(groups, return_counts=True)[1]
    return places - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)


def two_gaussians(
    costs: Tensor, is_candidate: Tensor, regularization: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """Fit two Gaussians to each row by expectation and maximization.

    They start at the lowest and the highest cost, with variance 1 and equal weights; each row stops
    by itself.

    Args:
        costs: (G, K), float64.
        is_candidate: which places count (G, K).
        regularization: added to the variances.

    Returns:
        Whether the first Gaussian owns a place, and the log-likelihood of its cost, both (G, K).
    """
    if not costs.numel():
        return is_candidate, costs
    counts = is_candidate.sum(1).clamp(min=1)
    lowest = costs.masked_fill(~is_candidate, math.inf).amin(1)
    highest = costs.masked_fill(~is_candidate, -math.inf).amax(1)
    mean = torch.stack([lowest, highest], 1).nan_to_num(0.0, 0.0, 0.0)  # rows without candidates
    variance, weight = torch.ones_like(mean), torch.full_like(mean, 0.5)
    bound = torch.full_like(lowest, -math.inf)
    is_done = torch.zeros_like(bound, dtype=torch.bool)
    for _ in range(ITERATIONS):
        joint = _log_joint(costs, mean, variance, weight)
        total = joint.logsumexp(2)
        share = (joint - total[:, :, None]).exp() * is_candidate[:, :, None]  # (G, K, 2)
        mass = share.sum(1) + 10 * torch.finfo(costs.dtype).eps
        new_mean = (share * costs[:, :, None]).sum(1) / mass
        deviation = costs[:, :, None] - new_mean[:, None]
        new_variance = (share * deviation**2).sum(1) / mass + regularization
        new_weight = mass / mass.sum(1, keepdim=True)
        active = ~is_done[:, None]
        mean = torch.where(active, new_mean, mean)
        variance = torch.where(active, new_variance, variance)
        weight = torch.where(active, new_weight, weight)
        new_bound = (total * is_candidate).sum(1) / counts
        is_done |= (new_bound - bound).abs() < CHANGE
        bound = new_bound
        if is_done.all():
            break
    joint = _log_joint(costs, mean, variance, weight)
    return joint[:, :, 0] >= joint[:, :, 1], joint.logsumexp(2)


def _log_joint(costs: Tensor, mean: Tensor, variance: Tensor, weight: Tensor) -> Tensor:
    """Return log(weight x density) of each cost under each Gaussian: (G, K, 2)."""
    distance = (costs[:, :, None] - mean[:, None]) ** 2 / variance[:, None]
    return weight[:, None].log() - 0.5 * (
        math.log(2 * math.pi) + variance[:, None].log() + distance
    )
