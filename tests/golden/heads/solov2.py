"""Kinds ``solov2`` and ``solov2-test``: kernels, cell scores and the mask map in.

The recorded run has the official order of masks and cells, so the replay asks for it
(``official_order``); that our own order differs only in it is a test of its own.
"""

from __future__ import annotations

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from torch import Tensor, nn

import rankdet.models  # noqa: F401 (registers the heads)
from rankdet.weights.convert import official_name
from tests.golden.heads.cases import Case
from tests.golden.heads.check import Check
from tests.golden.heads.masked import draw, emptied, masked_truth
from tests.golden.heads.registry import Builder, builds, replays
from tests.golden.place import array_of, tensor_of

CHANNELS, TOWER = 8, 32
STRIDE = 4  # of the mask map
MASK_PIXELS = 1e-3  # share of the pixels that may differ, see the manifest


@builds("RankBasedSOLOv2Head", loss_names=dict(loss_mask="loss_ins"))
def solov2(case: Case) -> nn.Module:
    """SOLOv2 with Rank & Sort Loss, in the official order of masks and cells."""
    told = case.settings
    testing = dict(case.about.get("test_cfg", {}))
    if testing:
        testing["filter_thr"] = testing.pop("update_thr")
    norm = dict(type="GN", num_groups=8, requires_grad=True)
    head = ConfigDict(
        type="RankSortSOLOV2Head",
        official_order=True,
        num_classes=case.classes,
        in_channels=CHANNELS,
        feat_channels=TOWER,
        stacked_convs=1,
        strides=told["strides"],
        scale_ranges=told["scale_ranges"],
        pos_scale=told["sigma"],
        num_grids=told["num_grids"],
        mask_feature_head=dict(
            feat_channels=TOWER,
            start_level=0,
            end_level=3,
            out_channels=told["ins_out_channels"],
            mask_stride=STRIDE,
            norm_cfg=norm,
        ),
        loss_cls=dict(type="RankSortLoss", use_sigmoid=True, delta=0.5),
        loss_mask=dict(type="DiceLoss", use_sigmoid=True, loss_weight=1.0),
        test_cfg=testing,
    )
    return MODELS.build(head).train()


def recorded_name(name: str) -> str:
    """Return the official name of a parameter of the head."""
    return official_name(f"mask_head.{name}").removeprefix("bbox_head.")


@replays("solov2")
def replay_solov2(case: Case, builder: Builder) -> Check:
    """Replay losses, gradients and the cells of every object."""
    check = Check(case)
    head = builder.build(case)
    truth, metas = masked_truth(case), case.metas()
    if case.raises:
        return check_without_objects(check, head, truth, metas)
    mask_feat = tensor_of(case.inputs["mask_feat"]).requires_grad_()
    kernels, scores, features = predictions(case, head, mask_feat)
    losses = head.loss_by_feat(kernels, scores, mask_feat, truth, metas)
    losses = {builder.loss_names.get(name, name): value for name, value in losses.items()}
    check.losses(losses, case.stored_losses())
    sum(losses.values()).backward()
    check.gradients("mask_feat", [mask_feat.grad], [case.outputs["grad_mask_feat"]])
    for name, leaves in (("kernel_pred", kernels), ("cate_pred", scores), ("feat", features)):
        stored = case.stored(f"grad_{name}")
        if stored:
            check.gradients(name, [leaf.grad for leaf in leaves], stored)
    for name, parameter in head.named_parameters():
        stored = case.outputs.get(f"grad_param.{recorded_name(name)}")
        if stored is not None:
            check.gradients(name, [parameter.grad], [stored])
    check_cells(check, head, truth, tuple(mask_feat.shape[-2:]))
    return check


def predictions(case: Case, head: nn.Module, mask_feat: Tensor) -> tuple:
    """Return kernels, cell scores and features, leaves where they are recorded."""
    if "kernel_pred_0" in case.inputs:
        return case.tensors("kernel_pred", grad=True), case.tensors("cate_pred", grad=True), []
    official = {recorded_name(name): name for name in head.state_dict()}
    parameters = {official[name]: value for name, value in case.parameters().items()}
    missing, _ = head.load_state_dict(parameters, strict=False)
    if any(not name.startswith("mask_feature_head.") for name in missing):
        raise ValueError(f"parameters that are not recorded: {missing}")
    features = case.tensors("feat", grad=True)
    head.mask_feature_head.forward = lambda features: mask_feat  # it is recorded as an input
    kernels, scores, _ = head(features)
    return kernels, scores, features


def check_cells(check: Check, head: nn.Module, truth: list, size: tuple[int, int]) -> None:
    """Compare which cells are positive, their class, and their order object by object."""
    for image, instances in enumerate(truth):
        for level, found in enumerate(head.targets(instances, size)):
            stored = check.case.outputs[f"cell_labels_img{image}_{level}"]
            labels = np.full(stored.size, -1)
            labels[found.cells] = instances.labels[found.objects]
            check.equal(f"cells of image {image}, {level}", labels.reshape(stored.shape), stored)
            stored = check.case.outputs[f"grid_order_img{image}_{level}"]
            ordered = found.cells[found.object_order()]
            check.equal(f"order of image {image}, {level}", ordered, stored)


def check_without_objects(check: Check, head: nn.Module, truth: list, metas: list) -> Check:
    """An image without objects ranks as negatives; a batch without any gives zeros with a graph."""
    generator = torch.Generator().manual_seed(0)
    height, width = metas[0]["pad_shape"]
    images = len(metas)
    kernels = [draw(generator, images, CHANNELS, grid, grid) for grid in head.num_grids]
    scores = [draw(generator, images, head.num_classes, grid, grid) for grid in head.num_grids]
    mask_feat = draw(generator, images, CHANNELS, height // STRIDE, width // STRIDE)
    leaves = [*kernels, *scores, mask_feat]
    if any(len(instances) for instances in truth):
        losses = head.loss_by_feat(kernels, scores, mask_feat, truth, metas)
        sum(losses.values()).backward()
        for name, value in losses.items():
            check.require(bool(value > 0), f"{name} is {value}")
        for image, instances in enumerate(truth):
            ranked = any(bool(level.grad[image].any()) for level in scores)
            check.require(ranked, f"the cells of image {image} take no part in the ranking")
            drawn = bool(mask_feat.grad[image].any())
            check.require(drawn == bool(len(instances)), f"masks of image {image}")
        for leaf in leaves:
            leaf.grad = None
    losses = head.loss_by_feat(kernels, scores, mask_feat, emptied(truth), metas)
    check.zero_with_graph(losses, leaves)
    check.notes.append("the official code raises; here zeros with a graph without any object")
    return check


@replays("solov2-test")
def replay_solov2_test(case: Case, builder: Builder) -> Check:
    """Replay points NMS, masks, matrix NMS and the resizing of every image."""
    check = Check(case)
    head = builder.build(case).eval()
    with torch.no_grad():
        results = head.predict_by_feat(
            case.tensors("kernel_pred"),
            case.tensors("cate_pred"),
            tensor_of(case.inputs["mask_feat"]),
            case.metas(),
        )
    for image, found in enumerate(results):
        scores = case.outputs[f"scores_{image}"]
        check.close(f"scores {image}", found.scores, scores, check.tolerance["scores_atol"])
        check.equal(f"labels {image}", found.labels, case.outputs[f"labels_{image}"])
        shape = tuple(case.outputs[f"mask_shape_{image}"])
        packed = case.outputs[f"masks_{image}"]
        masks = np.unpackbits(packed, axis=2)[:, :, : shape[2]].astype(bool)
        check.equal(f"size of the masks {image}", found.masks.shape, np.array(shape))
        if found.masks.shape == shape:
            differing = float((array_of(found.masks) != masks).mean())
            check.require(differing <= MASK_PIXELS, f"{differing:.2%} of mask pixels differ")
    return check
