"""Make an entry's network small, without touching its loss, assigner, coder or head type."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mmengine.config import ConfigDict

BASE = 16  # channels of the stem and of the first stage
WIDTH = 64  # channels of the neck and of every head
FC_WIDTH = 256  # width of the fully connected layers of an RoI head
PROPOSALS = 60  # per image, from the RPN to the RoI head
CONVOLUTIONS = 2  # convolutions in each tower of a dense head


def nodes(config: ConfigDict) -> Iterator[ConfigDict]:
    """Walk over all dictionaries of a config, outermost first."""
    if isinstance(config, dict):
        yield config
        for value in config.values():
            yield from nodes(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from nodes(value)


def drop_pretrained(model: ConfigDict) -> None:
    """Start from random weights, so that the short presets need no downloads.

    All norm layers then have to be trained, so no part of the backbone is frozen.
    """
    backbone = model.backbone
    backbone.pop("init_cfg", None)
    backbone.update(frozen_stages=-1, norm_eval=False)
    if "norm_cfg" in backbone:
        backbone.norm_cfg.requires_grad = True


def small_network(model: ConfigDict) -> None:
    """Replace the backbone with a narrow ResNet-18 and reduce all widths."""
    levels = tuple(model.backbone.get("out_indices", (0, 1, 2, 3)))
    model.backbone = ConfigDict(
        type="ResNet",
        depth=18,
        base_channels=BASE,
        # mmdet's ResNet does not derive the stem's width from base_channels.
        stem_channels=BASE,
        num_stages=4,
        out_indices=levels,
        frozen_stages=-1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=False,
        style="pytorch",
    )
    model.neck.in_channels = [BASE * 2**level for level in levels]
    model.neck.out_channels = WIDTH
    for part in ("bbox_head", "rpn_head", "roi_head", "mask_head"):
        for node in nodes(model.get(part, ConfigDict())):
            _narrow(node)
    for part in ("train_cfg", "test_cfg"):
        for node in nodes(model.get(part) or ConfigDict()):
            _fewer_proposals(node)


def _fewer_proposals(node: ConfigDict) -> None:
    """Reduce the proposals, since a tiny image does not need a thousand."""
    for name in ("rpn_proposal", "rpn"):
        if "max_per_img" in node.get(name, ()):
            node[name].update(nms_pre=5 * PROPOSALS, max_per_img=PROPOSALS)


def _narrow(node: ConfigDict) -> None:
    for key in ("in_channels", "feat_channels", "conv_out_channels", "out_channels"):
        if isinstance(node.get(key), int) and node[key] >= 128:
            node[key] = WIDTH
    if "proto_channels" in node:
        node.proto_channels = [
            WIDTH if width is not None and width >= 128 else width for width in node.proto_channels
        ]
    if node.get("type") == "SingleRoIExtractor":
        # RoIs up to twice this size are pooled from the finest level: half of mmdet's 56 pixels.
        node.finest_scale = 28
        node.roi_layer.sampling_ratio = 1
    if "fc_out_channels" in node:
        node.fc_out_channels = FC_WIDTH
    if "stacked_convs" in node:
        node.stacked_convs = CONVOLUTIONS
        # Towers without norm layers start with N(0, 0.01), tuned for 256 channels: at 64 the signal
        # nearly vanishes and hundreds of steps are lost. ATSS already has group norm.
        node.norm_cfg = ConfigDict(type="GN", num_groups=16, requires_grad=True)
    if node.get("num_convs", 1) > 2:
        node.num_convs = CONVOLUTIONS


def fit_grids(model: ConfigDict, side: int) -> None:
    """Limit SOLO's grids to the size of the feature maps of small images.

    Objects keep their level: the scale ranges are in pixels, and so are the strides.
    """
    for node in nodes(model):
        if "num_grids" in node:
            places = (math.ceil(side / stride) for stride in node.strides)
            node.num_grids = [min(pair) for pair in zip(node.num_grids, places, strict=True)]


def set_classes(model: ConfigDict, count: int) -> None:
    """Set the number of classes wherever a head of the model states one."""
    for node in nodes(model):
        # The RPN's head is class-agnostic: one class, whatever the data set.
        if "num_classes" in node and node["num_classes"] != 1:
            node["num_classes"] = count
