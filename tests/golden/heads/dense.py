"""Kinds ``dense`` and ``dense-sequence``: raw predictions in, losses, gradients, targets out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check
from tests.golden.heads.registry import Builder, replays
from tests.golden.heads.ties import settle, tied_anchors
from tests.golden.place import array_of, drawn

FAR = 300.0  # deltas that move a box by thirty anchors


class Recorded:
    """The inputs of the head's ranking loss: logits, targets and, for aLRP, errors."""

    def __init__(self, head: nn.Module) -> None:
        self.inputs: tuple[Tensor, ...] = ()
        head.loss_cls.register_forward_pre_hook(self._keep)

    def _keep(self, _module, inputs: tuple) -> None:
        self.inputs = tuple(tensor.detach() for tensor in inputs)


@replays("dense")
def replay_dense(case: Case, builder: Builder) -> Check:
    """Replay losses, gradients and targets of one batch."""
    check = Check(case)
    head = builder.build(case)
    ranking = Recorded(head)
    scores, boxes = predictions(case, head)
    truth, metas, ignored = case.ground_truth(), case.metas(), case.ignored()
    batch = (scores, boxes, truth, metas, ignored)
    labels, weights = assigned(head, *batch)
    if "reassigned_labels_img0" in case.outputs:
        count = settle(head, case, labels, tied_anchors(head, *batch))
        if count:
            check.notes.append(f"{count} anchors of ties taken as recorded")
            labels, weights = assigned(head, *batch)
    losses = head.loss_by_feat(*batch)
    losses = {builder.loss_names.get(name, name): value for name, value in losses.items()}
    if case.raises:
        check.zero_with_graph(losses, [*scores, *boxes])
        check.notes.append("the official code raises; here zeros with a graph")
        return check
    any_positive = any(bool((level < head.num_classes).any()) for level in labels)
    stored = case.stored_losses()
    if not any_positive and any(stored.values()):
        check.notes.append(f"no positives: 0 here, {max(stored.values()):g} recorded")
        stored = dict.fromkeys(stored, 0.0)
    check.losses(losses, stored)
    sum(value.mean() for value in losses.values()).backward()
    check.gradients("cls_score", [x.grad for x in scores], case.stored("grad_cls_score"))
    check.gradients("bbox_pred", [x.grad for x in boxes], case.stored("grad_bbox_pred"))
    check_labels(check, builder, head, labels, weights)
    if ranking.inputs and "rank_target_index" in case.outputs:
        targets, *errors = ranking.inputs[1:]
        if builder.image_major:
            targets = by_image(targets, labels, head.num_classes)
        check_targets(check, array_of(targets), *errors)
    return check


@replays("dense-sequence")
def replay_sequence(case: Case, builder: Builder) -> Check:
    """Replay one head object over several batches: the state of aLRP's self-balance."""
    check = Check(case)
    head = builder.build(case)
    for step in range(case.about["iterations"]):
        start = f"it{step}."
        scores = case.tensors(f"{start}cls_score", grad=True)
        boxes = case.tensors(f"{start}bbox_pred", grad=True)
        losses = head.loss_by_feat(scores, boxes, case.ground_truth(start), case.metas())
        losses = {builder.loss_names.get(name, name): value for name, value in losses.items()}
        check.losses(losses, case.stored_losses(start), f"iteration {step}: ")
        sum(value.mean() for value in losses.values()).backward()
        for name, leaves in (("cls_score", scores), ("bbox_pred", boxes)):
            stored = case.stored(f"{start}grad_{name}")
            if stored:  # of the first levels only
                grads = [leaf.grad for leaf in leaves[: len(stored)]]
                check.gradients(f"{start}{name}", grads, stored)
        balance = head.self_balance
        for name, ours in (("sb_weight", balance.weight), ("sb_count", balance.steps)):
            check.close(f"{start}{name}", ours, case.outputs[start + name], atol=0, rtol=1e-4)
    return check


def predictions(case: Case, head: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the recorded logits and boxes per level, as leaves.

    Where the official code raises nothing is recorded; then they are drawn. In the case of boxes
    that all miss their object, they are moved far off.
    """
    if not case.raises:
        return case.tensors("cls_score", grad=True), case.tensors("bbox_pred", grad=True)
    generator = torch.Generator().manual_seed(0)
    height, width = case.metas()[0]["pad_shape"]
    priors = head.prior_generator.num_base_priors[0]
    scores, boxes = [], []
    for stride in (pair[0] for pair in head.prior_generator.strides):
        size = (len(case.metas()), priors, math.ceil(height / stride), math.ceil(width / stride))
        draw = drawn(generator, size[0], priors * head.num_classes, *size[2:])
        scores.append(draw.requires_grad_())
        deltas = drawn(generator, size[0], priors * 4, *size[2:])
        if "far_boxes" in case.name:
            deltas = torch.tensor([FAR, FAR, 0.0, 0.0]).repeat(priors).view(1, -1, 1, 1)
            deltas = deltas.repeat(size[0], 1, *size[2:])
        boxes.append(deltas.requires_grad_())
    return scores, boxes


def assigned(head, scores, boxes, truth, metas, ignored) -> tuple[list[Tensor], list[Tensor]]:
    """Return labels and label weights per level, each (B, h w A)."""
    with torch.no_grad():
        _, labels, weights, _ = head.level_targets(scores, boxes, truth, metas, ignored)
    return labels, weights


def check_labels(check: Check, builder: Builder, head, labels, weights) -> None:
    """Compare labels per level, or per image over all levels where they are reassigned."""
    case = check.case
    background = head.num_classes if builder.background is None else builder.background
    as_recorded = [
        torch.where(level < head.num_classes, level + builder.foreground, background)
        for level in labels
    ]
    for level, stored in enumerate(case.stored("assigned_labels")):
        check.equal(f"labels_{level}", as_recorded[level].view(stored.shape), stored)
    for level, stored in enumerate(case.stored("label_weights")):
        check.equal(f"label_weights_{level}", (weights[level] > 0) * 1.0, (stored > 0) * 1.0)
    for image in range(len(case.metas())):
        for name, levels in (("labels", as_recorded), ("label_weights", weights)):
            stored = case.outputs.get(f"reassigned_{name}_img{image}")
            if stored is not None:
                ours = torch.cat([level[image] for level in levels])
                check.equal(f"reassigned {name} of image {image}", ours, stored)


def by_image(targets: Tensor, labels: list[Tensor], classes: int) -> Tensor:
    """Reorder a flat target vector from (level, image, ...) to (image, level, ...)."""
    parts = targets.split([level.numel() * classes for level in labels])
    levels = [part.view(len(level), -1) for part, level in zip(parts, labels, strict=True)]
    return torch.cat(levels, 1).flatten()


def check_targets(check: Check, targets: np.ndarray, errors: Tensor | None = None) -> None:
    """Compare the positives of the ranking, their soft targets and localisation errors."""
    outputs = check.case.outputs
    positions = np.flatnonzero(targets > 0)
    check.equal("positives of the ranking", positions, outputs["rank_target_index"])
    if len(positions) == len(outputs["rank_target_value"]):
        stored = outputs["rank_target_value"]
        check.close("targets of the ranking", targets[positions], stored, atol=1e-5)
    if "loc_error" in outputs and errors is not None:
        check.close("localisation errors", array_of(errors), outputs["loc_error"], atol=1e-5)
