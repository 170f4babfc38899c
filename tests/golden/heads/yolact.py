"""Kinds ``yolact`` and ``yolact-test``: the box head and the prototype head together."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import Tensor, nn

import rankdet.models  # noqa: F401 (registers the heads)
from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check
from tests.golden.heads.masked import draw, masked_truth
from tests.golden.heads.registry import Builder, builds, replays

CHANNELS = 4
FEATURE_SIDES = (12, 6, 3, 2, 1)  # of a 96 x 96 image
THRESHOLDS = dict(mask_thr=0.5, mask_thr_binary=0.5)


@builds(
    "RankSortYOLACT + RankSortYOLACTHead + RankSortYOLACTProtonet",
    loss_names=dict(loss_rank="ranking_loss", loss_sort="sorting_loss"),
)
def yolact(case: Case) -> nn.Module:
    """Both heads under the names they have in the detector."""
    told = case.settings
    training = {**told["train_cfg"], "sampler": dict(type="PseudoSampler")}
    testing = {**case.about.get("test_cfg", {}), **THRESHOLDS}
    channels = tuple(None if width == "x2 bilinear" else width for width in told["proto_channels"])
    box = ConfigDict(
        type="RankSortYOLACTHead",
        loss_step=dict(type="RankSortStep"),
        num_classes=case.classes,
        in_channels=CHANNELS,
        feat_channels=CHANNELS,
        num_head_convs=told["num_head_convs"],
        num_protos=told["num_protos"],
        anchor_generator=told["anchor_generator"],
        bbox_coder=told["bbox_coder"],
        loss_cls=dict(type="RankSortLoss", use_sigmoid=True, delta=0.5),
        loss_bbox=dict(type="GIoULoss", reduction="none"),
        use_ohem=False,
        train_cfg=training,
        test_cfg=testing,
    )
    mask = ConfigDict(
        type="RankSortYOLACTProtonet",
        num_classes=case.classes,
        in_channels=CHANNELS,
        num_protos=told["num_protos"],
        proto_channels=channels,
        proto_kernel_sizes=told["proto_kernel_sizes"],
        loss_mask=dict(type="DiceLoss", activate=False, reduction="none", eps=5e-6),
        train_cfg=training,
        test_cfg=testing,
    )
    heads = nn.ModuleDict(dict(bbox_head=MODELS.build(box), mask_head=MODELS.build(mask)))
    missing, unexpected = heads.load_state_dict(case.parameters(), strict=False)
    if unexpected or (any(name.startswith("mask_head") for name in missing) and not case.raises):
        raise ValueError(f"parameters that do not fit: {missing}, {unexpected}")
    return heads.train()


@replays("yolact")
def replay_yolact(case: Case, builder: Builder) -> Check:
    """Replay losses, gradients of predictions, features and parameters, and the positives."""
    check = Check(case)
    heads = builder.build(case)
    features, outputs = predictions(case, heads["bbox_head"])
    truth, metas = masked_truth(case), case.metas()
    losses = heads["bbox_head"].loss_by_feat(*outputs.values(), truth, metas)
    positives = heads["bbox_head"].get_positive_infos()
    masks = heads["mask_head"](features, positives)
    losses |= heads["mask_head"].loss_by_feat(*masks, truth, metas, positives)
    losses = {builder.loss_names.get(name, name): value for name, value in losses.items()}
    if case.raises:
        leaves = [leaf for levels in outputs.values() for leaf in levels]
        check.zero_with_graph(losses, [*leaves, features[0]])
        check.notes.append("the official code raises; here zeros with a graph")
        return check
    check.losses(losses, case.stored_losses())
    sum(losses.values()).backward()
    for name, leaves in (*outputs.items(), ("feat", features)):
        stored = case.stored(f"grad_{name}")
        if stored:
            check.gradients(name, [leaf.grad for leaf in leaves], stored)
    for name, parameter in heads.named_parameters():
        stored = case.outputs.get(f"grad_param.{name}")
        if stored is not None:
            check.gradients(name, [parameter.grad], [stored])
    for image, found in enumerate(positives):
        stored = case.outputs[f"pos_inds_img{image}"]
        check.equal(f"positives of image {image}", found.pos_inds, stored)
        stored = case.outputs[f"pos_gt_img{image}"]
        check.equal(f"objects of image {image}", found.pos_assigned_gt_inds, stored)
    weights = torch.cat([found.weights for found in positives])
    check.close("weights of the positives", weights, case.outputs["pos_weights"], atol=1e-6)
    return check


def predictions(case: Case, head: nn.Module) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
    """Return the features and the predictions per level, by name, as leaves where recorded."""
    names = ("cls_score", "bbox_pred", "coeff_pred")
    features = case.tensors("feat", grad=True)
    if case.raises:
        generator = torch.Generator().manual_seed(0)
        images, priors = len(case.metas()), head.num_base_priors
        features = [draw(generator, images, CHANNELS, FEATURE_SIDES[0], FEATURE_SIDES[0])]
        widths = (priors * head.num_classes, priors * 4, priors * head.num_protos)
        levels = [
            [draw(generator, images, width, side, side) for side in FEATURE_SIDES]
            for width in widths
        ]
    elif "cls_score_0" in case.inputs:
        levels = [case.tensors(name, grad=True) for name in names]
    else:
        levels = head(features)
    return features, dict(zip(names, levels, strict=True))


@replays("yolact-test")
def replay_yolact_test(case: Case, builder: Builder) -> Check:
    """Replay decoding, fast NMS and the masks of every image."""
    check = Check(case)
    heads = builder.build(case).eval()
    metas = case.metas()
    with torch.no_grad():
        _, outputs = predictions(case, heads["bbox_head"])
        results = heads["bbox_head"].predict_by_feat(
            *outputs.values(), metas, rescale=case.about["rescale"]
        )
        masks, _ = heads["mask_head"](case.tensors("feat"), results)
        cropped = heads["mask_head"].crop_mask_preds(masks, metas, results)
    tolerance = check.tolerance
    for image, found in enumerate(results):
        stored = case.outputs[f"det_bboxes_{image}"]
        check.close(f"boxes {image}", found.bboxes, stored[:, :4], tolerance["boxes_atol"])
        check.close(f"scores {image}", found.scores, stored[:, 4], tolerance["scores_atol"])
        check.equal(f"labels {image}", found.labels, case.outputs[f"det_labels_{image}"])
        stored = case.outputs[f"det_coeffs_{image}"]
        check.close(f"coefficients {image}", found.coeffs, stored, tolerance["scores_atol"])
        stored = case.outputs.get(f"mask_pred_mean_{image}")
        if stored is not None:
            check.close(f"masks {image}", cropped[image].mean((1, 2)), stored, atol=1e-6)
    return check
