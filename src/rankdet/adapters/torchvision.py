"""The losses in torchvision's RetinaNet, FCOS and Faster R-CNN.

    from torchvision.models.detection import retinanet_resnet50_fpn
    from rankdet.adapters.torchvision import use_rank_sort

    model = use_rank_sort(retinanet_resnet50_fpn(num_classes=91))
    losses = model(images, targets)  # the same keys as before

What changes is the loss. Weights, keys of the state dict and of the loss dictionary, matching of
anchors, and the form of the detections stay. All logits of a batch are one ranking; no anchor and
no proposal is sampled. The terms are those of the papers:

- Rank & Sort: targets are the IoUs of the predicted boxes; the box term is 1 - GIoU, weighted by
  the highest score, scaled to the value of the classification term. Nothing to tune.
- aLRP: the box term has a self-balancing weight, which is saved in the state dict.
- AP Loss: the box term is 1 - GIoU, weighted by the highest score, times a fixed number.

What each model does differently from the library:

- RetinaNet: nothing else. Scores are the sigmoid of the logits, as before.
- FCOS: the ranking by IoU replaces the center-ness, as in the papers. Its branch stays, untrained:
  its loss is 0, and detections take it as 1. The library's score is a square root, so it is
  sqrt(sigmoid(logit)) now, of the same order as the logits that were ranked.
- Faster R-CNN: the RPN ranks all anchors (its terms times 0.2, as published), the box head all
  proposals. The library's C + 1 outputs with softmax become C sigmoid scores: the logit of a class
  is its output minus that of the background, which is what softmax compares, too. So every weight
  keeps its shape and use, a model that was trained with softmax starts with sensible scores, and
  detections are made of the scores that are ranked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rankdet.adapters._boxes import aligned_iou, giou_errors
from rankdet.adapters._packages import require
from rankdet.adapters._terms import (
    IGNORED,
    NEGATIVE,
    AlrpTerms,
    ApTerms,
    RankSortTerms,
    Terms,
    check_weight,
    in_full,
)
from rankdet.errors import InputError

require("torchvision")

from torchvision.models import detection  # noqa: E402 -- after the check
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes  # noqa: E402

__all__ = ["use_alrp", "use_ap_loss", "use_rank_sort"]

Model = TypeVar("Model", bound=nn.Module)
Targets = list[dict[str, Tensor]]
Pair = tuple[Tensor, Tensor]
RPN_WEIGHT, RPN_TAU = 0.2, 0.7
_CERTAIN = 100.0  # a logit whose sigmoid is 1


def use_rank_sort(model: Model, *, across_processes: bool = False) -> Model:
    """Train a detector with Rank & Sort Loss (Oksuz et al., ICCV 2021).

    Args:
        model: torchvision's RetinaNet, FCOS or FasterRCNN, changed in place.
        across_processes: rank the images of all processes of torch.distributed together, see
            `rankdet.losses.GlobalPool`. The papers rank those of one process.

    Returns:
        The model.

    Raises:
        InputError: (a ValueError) for another model.
    """
    return _use(model, lambda **settings: RankSortTerms(across_processes, settings["weight"]))


def use_alrp(model: Model, *, period: int, across_processes: bool = False) -> Model:
    """Train a detector with aLRP Loss (Oksuz et al., NeurIPS 2020).

    The weights of the box terms are in the state dict, beside the keys of the library: load such a
    state dict into a plain model with ``strict=False``. One without them loads as it is.

    Args:
        model: torchvision's RetinaNet, FCOS or FasterRCNN, changed in place.
        period: training steps per epoch; after each the self-balancing weight is set anew.
        across_processes: as in `use_rank_sort`.

    Returns:
        The model.

    Raises:
        InputError: (a ValueError) for another model, or a period that is no whole number >= 1.
    """

    def terms(*, weight: float, tau: float) -> Terms:
        return AlrpTerms(period, tau, across_processes, weight)

    model = _use(model, terms)
    if isinstance(model, detection.FasterRCNN):
        # As published: unlike in Rank & Sort, the ground truth is no proposal.
        model.roi_heads.add_gt_proposals = _only_proposals
    return model


def use_ap_loss(model: Model, *, box_weight: float = 2.0, across_processes: bool = False) -> Model:
    """Train a detector with AP Loss (Chen et al., CVPR 2019).

    Args:
        model: torchvision's RetinaNet, FCOS or FasterRCNN, changed in place.
        box_weight: factor on the box term; 2 is that of Yavuz et al., ECCV 2024.
        across_processes: as in `use_rank_sort`.

    Returns:
        The model.

    Raises:
        InputError: (a ValueError) for another model, or a weight that is no number > 0.
    """
    factor = check_weight("box_weight", box_weight)
    return _use(model, lambda **own: ApTerms(factor, across_processes, own["weight"]))


def _use(model: Model, terms: Callable[..., Terms]) -> Model:
    """Put the losses in the place of the library's; those of an earlier call go."""
    if isinstance(model, detection.RetinaNet | detection.FCOS):
        is_fcos = isinstance(model, detection.FCOS)
        loss = FcosLoss if is_fcos else RetinaNetLoss
        head: Any = model.head
        head.ranking = loss(terms(weight=1.0, tau=0.5), head if is_fcos else head.regression_head)
        head.compute_loss = head.ranking.compute_loss
        if is_fcos and _without_centerness not in head._forward_hooks.values():
            head.register_forward_hook(_without_centerness)
    elif isinstance(model, detection.FasterRCNN) and _has_boxes_only(model):
        rpn: Any = model.rpn
        rpn.ranking = RpnLoss(terms(weight=RPN_WEIGHT, tau=RPN_TAU), rpn)
        rpn.compute_loss = rpn.ranking.compute_loss
        heads: Any = model.roi_heads
        heads.__dict__.pop("add_gt_proposals", None)
        heads.ranking = BoxHeadLoss(terms(weight=1.0, tau=0.5), heads)
        heads.fg_bg_sampler = every_proposal
        heads.forward = heads.ranking.roi_heads_forward
        heads.postprocess_detections = heads.ranking.postprocess_detections
    else:
        raise InputError(
            "a RetinaNet, FCOS or FasterRCNN of torchvision.models.detection, boxes only",
            type(model).__name__,
            "call rankdet.losses in the loss of this model: docs/use-in-your-detector.md",
        )
    return model


def _has_boxes_only(model: Any) -> bool:
    return not (model.roi_heads.has_mask() or model.roi_heads.has_keypoint())


def _without_centerness(head: nn.Module, inputs: Any, outputs: dict[str, Tensor]) -> Any:
    """In detections the center-ness is 1."""
    if head.training:
        return None
    centerness = torch.full_like(outputs["bbox_ctrness"], _CERTAIN)
    return {**outputs, "bbox_ctrness": centerness}


def every_proposal(labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Sample nothing: masks of all positives and of all negatives per image."""
    return [each >= 1 for each in labels], [each == 0 for each in labels]


def _only_proposals(proposals: list[Tensor], gt_boxes: list[Tensor]) -> list[Tensor]:
    return proposals


class _Loss(nn.Module):
    """The loss of one head; it has no parameters.

    Args:
        terms: what turns logits and boxes into losses.
        owner: the library's module whose box coder is used.
    """

    def __init__(self, terms: Terms, owner: Any) -> None:
        super().__init__()
        self.terms = terms
        self.owner = (owner,)  # in a tuple: no child, whose weights would be listed twice

    def _decode(self, deltas: Tensor, places: Tensor) -> Tensor:
        """Boxes [P, 4] of deltas [P, 4] and anchors or proposals [P, 4]."""
        boxes: Tensor = self.owner[0].box_coder.decode_single(in_full(deltas), in_full(places))
        return boxes

    def _terms(self, logits: Tensor, labels: Tensor, boxes: Tensor, truths: Tensor) -> Pair:
        truths = truths.to(boxes.dtype)
        found: Pair = self.terms(
            in_full(logits), labels, aligned_iou(boxes, truths), giou_errors(boxes, truths)
        )
        return found


class RetinaNetLoss(_Loss):
    """The loss of torchvision's RetinaNetHead; of FCOSHead with the coder of FCOS."""

    def compute_loss(
        self,
        targets: Targets,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """Compute the loss dictionary, in the place of the head's own method.

        Args:
            targets: ``boxes`` [G, 4] and ``labels`` [G] of each image.
            head_outputs: ``cls_logits`` [B, A, C] and ``bbox_regression`` [B, A, 4].
            anchors: of each image [A, 4].
            matched_idxs: index of the ground truth of each anchor; -1 negative, -2 ignored [A].

        Returns:
            ``classification`` and ``bbox_regression``, scalars.
        """
        labels, truths = _matched(targets, matched_idxs)
        is_positive = labels >= 0
        deltas = head_outputs["bbox_regression"].flatten(0, 1)[is_positive]
        boxes = self._decode(deltas, torch.cat(anchors)[is_positive])
        logits = head_outputs["cls_logits"].flatten(0, 1)
        classification, box = self._terms(logits, labels, boxes, truths)
        return {"classification": classification, "bbox_regression": box}


class FcosLoss(RetinaNetLoss):
    """The loss of torchvision's FCOSHead."""

    def _decode(self, deltas: Tensor, places: Tensor) -> Tensor:
        boxes: Tensor = self.owner[0].box_coder.decode(in_full(deltas), in_full(places))
        return boxes

    def compute_loss(
        self,
        targets: Targets,
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
        matched_idxs: list[Tensor],
    ) -> dict[str, Tensor]:
        """As of RetinaNet, with ``bbox_ctrness``: 0, attached to the branch for DDP."""
        losses = super().compute_loss(targets, head_outputs, anchors, matched_idxs)
        return {**losses, "bbox_ctrness": 0 * in_full(head_outputs["bbox_ctrness"]).sum()}


def _matched(targets: Targets, matched_idxs: list[Tensor]) -> Pair:
    """Labels [B A] of all anchors, and the ground truth [P, 4] of the positives."""
    labels, truths = [], []
    for target, matched in zip(targets, matched_idxs, strict=True):
        is_positive = matched >= 0
        own = matched.clamp(max=NEGATIVE)  # -1 negative, -2 ignored, as here
        own[is_positive] = target["labels"][matched[is_positive]]
        labels.append(own)
        truths.append(target["boxes"][matched[is_positive]])
    return torch.cat(labels), torch.cat(truths)


class RpnLoss(_Loss):
    """The loss of torchvision's RegionProposalNetwork: one class, all anchors."""

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> Pair:
        """Compute both terms, in the place of the RPN's own method.

        Boxes are compared on a unit anchor, on which IoU and GIoU do not depend, as the published
        heads do.

        Args:
            objectness: logits of all anchors of all images [n, 1].
            pred_bbox_deltas: [n, 4].
            labels: 1 positive, 0 negative, -1 ignored, per image [A].
            regression_targets: encoded ground truth, per image [A, 4].

        Returns:
            (loss_objectness, loss_rpn_box_reg), scalars.
        """
        joined = torch.cat(labels)
        classes = torch.full_like(joined, NEGATIVE, dtype=torch.int64)
        classes = classes.masked_fill(joined < 0, IGNORED).masked_fill(joined >= 1, 0)
        is_positive = classes >= 0
        deltas, true_deltas = pred_bbox_deltas[is_positive], torch.cat(regression_targets)
        unit = deltas.new_tensor([-0.5, -0.5, 0.5, 0.5]).expand(len(deltas), 4)
        boxes = self._decode(deltas, unit)
        truths = self._decode(true_deltas[is_positive], unit)
        return self._terms(objectness.reshape(-1, 1), classes, boxes, truths)


class BoxHeadLoss(_Loss):
    """Training and detection of torchvision's RoIHeads with C sigmoid scores."""

    def logits(self, class_logits: Tensor) -> Tensor:
        """Return the logits [N, C] that are ranked, of outputs [N, C + 1]: class - background."""
        return class_logits[:, 1:] - class_logits[:, :1]

    def roi_heads_forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> tuple[Targets, dict[str, Tensor]]:
        """Compute losses in training, else detections, in the place of RoIHeads.forward.

        Args:
            features: of the backbone by level.
            proposals: of each image [N, 4].
            image_shapes: height and width of each image.
            targets: ``boxes`` [G, 4] and ``labels`` [G] of each image, 1..C.

        Returns:
            Detections of each image, and the losses ``loss_classifier`` and ``loss_box_reg``.
        """
        heads = self.owner[0]
        if not heads.training:
            found: tuple[Targets, dict[str, Tensor]]
            found = type(heads).forward(heads, features, proposals, image_shapes, targets)
            return found
        if targets is None:
            raise InputError("targets in training", "None", "call model(images, targets)")
        proposals, matched, labels, _ = heads.select_training_samples(proposals, targets)
        pooled = heads.box_roi_pool(features, proposals, image_shapes)
        class_logits, regression = heads.box_predictor(heads.box_head(pooled))
        joined = torch.cat(labels)
        rows = (joined >= 1).nonzero().squeeze(1)
        deltas = regression.reshape(len(joined), -1, 4)[rows, joined[rows]]
        boxes = self._decode(deltas, torch.cat(proposals)[rows])
        truths = [
            target["boxes"][own[label >= 1]]
            for target, own, label in zip(targets, matched, labels, strict=True)
        ]
        classes = joined - 1  # the background is NEGATIVE
        classification, box = self._terms(
            self.logits(class_logits), classes, boxes, torch.cat(truths)
        )
        return [], {"loss_classifier": classification, "loss_box_reg": box}

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Choose the detections, as RoIHeads does, by sigmoid scores.

        Args:
            class_logits: [N, C + 1] of the proposals of all images.
            box_regression: [N, 4 (C + 1)].
            proposals: of each image [n, 4].
            image_shapes: height and width of each image.

        Returns:
            Boxes, scores and labels of each image.
        """
        heads, sizes = self.owner[0], [len(each) for each in proposals]
        scores = self.logits(in_full(class_logits)).sigmoid()
        boxes = heads.box_coder.decode(box_regression, proposals).reshape(len(scores), -1, 4)[:, 1:]
        numbers = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(scores)
        found: tuple[list[Tensor], list[Tensor], list[Tensor]] = [], [], []
        images = zip(boxes.split(sizes), scores.split(sizes), numbers.split(sizes), strict=True)
        for shape, (own, *rest) in zip(image_shapes, images, strict=True):
            best = _detections(heads, clip_boxes_to_image(own, shape), *rest)
            for every, each in zip(found, best, strict=True):
                every.append(each)
        return found


def _detections(
    heads: Any, boxes: Tensor, scores: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The best of boxes [n, C, 4], scores [n, C] and labels [n, C] of one image."""
    boxes, scores, labels = boxes.reshape(-1, 4), scores.reshape(-1), labels.reshape(-1)
    chosen = (scores > heads.score_thresh).nonzero().squeeze(1)
    chosen = chosen[remove_small_boxes(boxes[chosen], min_size=1e-2)]
    boxes, scores, labels = boxes[chosen], scores[chosen], labels[chosen]
    best = batched_nms(boxes, scores, labels, heads.nms_thresh)[: heads.detections_per_img]
    return boxes[best], scores[best], labels[best]
