"""Kinds ``roi``, ``roi-test``, ``roi-sequence``: features, parameters and proposals in."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check
from tests.golden.heads.dense_test import test_config
from tests.golden.heads.masked import masked_truth
from tests.golden.heads.registry import Builder, replays
from tests.golden.place import array_of


class Seen:
    """What went into each stage's box head: logits, boxes, RoIs, labels, ranking targets."""

    def __init__(self, stages: list[nn.Module]) -> None:
        self.stages: list[dict[str, np.ndarray]] = [{} for _ in stages]
        for head, seen in zip(stages, self.stages, strict=True):
            self._watch(head, seen)

    def _watch(self, head: nn.Module, seen: dict[str, np.ndarray]) -> None:
        compute = head.loss_and_target

        def recorded(cls_score, bbox_pred, rois, *arguments, **settings):
            found = compute(cls_score, bbox_pred, rois, *arguments, **settings)
            seen.update(
                cls_score=array_of(cls_score),
                bbox_pred=array_of(bbox_pred),
                rois=array_of(rois),
                labels=array_of(found["bbox_targets"][0]),
            )
            return found

        head.loss_and_target = recorded

        def keep(_module, inputs: tuple) -> None:
            seen["targets"] = array_of(inputs[1])
            if len(inputs) > 2:
                seen["errors"] = array_of(inputs[2])

        head.loss_cls.register_forward_pre_hook(keep)


@replays("roi")
def replay_roi(case: Case, builder: Builder) -> Check:
    """Replay one batch: losses, gradients, RoIs in order, labels, logits, ranking targets."""
    check = Check(case)
    head = loaded(case, builder, check)
    if check.problems:
        return check
    stages = stages_of(head)
    seen = Seen(stages)
    features = case.tensors("feat", grad=True)
    losses = head.loss(features, proposals(case), samples(case))
    losses = {builder.loss_names.get(name, name): value for name, value in losses.items()}
    stored = case.stored_losses()
    if not any((stage["labels"] < case.classes).any() for stage in seen.stages):
        if any(stored.values()):
            check.notes.append(f"no positives: 0 here, {max(stored.values()):g} recorded")
        stored = dict.fromkeys(stored, 0.0)
        for name, value in losses.items():
            check.require(value.requires_grad, f"{name} has no graph")
    check.losses(losses, stored)
    sum(losses.values()).backward()
    check.gradients("feat", [feature.grad for feature in features], case.stored("grad_feat"))
    check_parameters(check, head)
    for index, stage in enumerate(seen.stages):
        check_stage(check, stage, f"stage{index}." if len(stages) > 1 else "")
    return check


@replays("roi-sequence")
def replay_sequence(case: Case, builder: Builder) -> Check:
    """Replay one head over several batches: the state of aLRP's self-balance."""
    check = Check(case)
    head = loaded(case, builder, check)
    for step in range(case.about["iterations"] if not check.problems else 0):
        start = f"it{step}."
        head.zero_grad()
        features = case.tensors(f"{start}feat", grad=True)
        losses = head.loss(features, proposals(case, start), samples(case, start))
        check.losses(losses, case.stored_losses(start), f"iteration {step}: ")
        sum(losses.values()).backward()
        check_parameters(check, head, start)
        balance = head.bbox_head.self_balance
        for name, ours in (("sb_weight", balance.weight), ("sb_count", balance.steps)):
            check.close(f"{start}{name}", ours, case.outputs[start + name], atol=0, rtol=1e-4)
    return check


@replays("roi-test")
def replay_roi_test(case: Case, builder: Builder) -> Check:
    """Replay scores, decoding and NMS of every image."""
    check = Check(case)
    head = loaded(case, builder, check)
    if check.problems:
        return check
    head.eval()
    cfg = test_config(case.about["test_cfg"])
    given = proposals(case)
    with torch.no_grad():
        results = head.predict_bbox(
            case.tensors("feat"), case.metas(), given, cfg, rescale=case.about["rescale"]
        )
    by_score = len(stages_of(head)) == 1  # the cascade's are recorded class by class
    for image, found in enumerate(results):
        boxes = case.outputs[f"det_bboxes_{image}"]
        labels = case.outputs[f"det_labels_{image}"]
        check.detections(image, found, boxes, labels, cfg.max_per_img, by_score)
    return check


def loaded(case: Case, builder: Builder, check: Check) -> nn.Module:
    """Return our head with the recorded parameters; note parameters that do not fit."""
    head = builder.build(case)
    parameters, own = case.parameters(), dict(head.named_parameters())
    check.require(set(own) == set(parameters), f"parameters {set(own) ^ set(parameters)}")
    if not check.problems:
        # What is no parameter (the state of the self-balance) keeps its start.
        head.load_state_dict({**head.state_dict(), **parameters})
    return head


def stages_of(head: nn.Module) -> list[nn.Module]:
    """Return the box heads: one, or one for each stage of a cascade."""
    box = head.bbox_head
    return list(box) if isinstance(box, nn.ModuleList) else [box]


def proposals(case: Case, start: str = "") -> list[InstanceData]:
    """Return the proposals of each image; the fifth recorded column is their score."""
    return [
        InstanceData(bboxes=boxes[:, :4].contiguous(), scores=boxes[:, 4])
        for boxes in case.tensors(f"{start}proposals")
    ]


def samples(case: Case, start: str = "") -> list[DetDataSample]:
    """Return the ground truth of each image as mmdet hands it to an RoI head."""
    has_masks = f"{start}gt_masks_0" in case.inputs
    truths = masked_truth(case) if has_masks else case.ground_truth(start)
    return [
        DetDataSample(metainfo=meta, gt_instances=truth)
        for meta, truth in zip(case.metas(), truths, strict=True)
    ]


def check_parameters(check: Check, head: nn.Module, start: str = "") -> None:
    """Compare the gradients of the parameters, those that are recorded."""
    for name, parameter in head.named_parameters():
        stored = check.case.outputs.get(f"{start}grad_param.{name}")
        if stored is not None:
            check.gradients(start + name, [parameter.grad], [stored])


def check_stage(check: Check, seen: dict[str, np.ndarray], prefix: str) -> None:
    """Compare what entered the loss of one stage."""
    outputs = check.case.outputs
    check.equal(f"{prefix}labels", seen["labels"], outputs[f"{prefix}labels"])
    check.close(f"{prefix}rois", seen["rois"], outputs[f"{prefix}rois"], atol=1e-3)
    stored = outputs[f"{prefix}cls_score"]
    check.close(f"{prefix}cls_score", seen["cls_score"], stored, atol=1e-4, rtol=1e-4)
    mean = np.abs(seen["bbox_pred"]).mean()
    check.close(f"{prefix}bbox_pred", mean, outputs[f"{prefix}bbox_pred_abs_mean"], 1e-4, 1e-4)
    if f"{prefix}rank_target_index" in outputs:
        positions = np.flatnonzero(seen["targets"] > 0)
        check.equal(f"{prefix}positives", positions, outputs[f"{prefix}rank_target_index"])
        if len(positions) == len(outputs[f"{prefix}rank_target_value"]):
            values = outputs[f"{prefix}rank_target_value"]
            check.close(f"{prefix}targets", seen["targets"][positions], values, atol=1e-5)
    if f"{prefix}loc_error" in outputs and "errors" in seen:
        check.close(f"{prefix}errors", seen["errors"], outputs[f"{prefix}loc_error"], atol=1e-5)
