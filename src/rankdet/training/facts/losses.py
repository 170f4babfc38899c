"""Losses by their short names, and the numbers in them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from mmengine.config import Config, ConfigDict

from rankdet import losses
from rankdet.training.facts.nodes import final_head, heads, mask_head
from rankdet.training.shrink import nodes

CLASS_LOSSES = {
    "ApLoss": "AP",
    "AlrpLoss": "aLRP",
    "RankSortLoss": "RS",
    "BucketedApLoss": "BAP",
    "BucketedRankSortLoss": "BRS",
    "ParameterizedApLoss": "PAP",
    "FocalLoss": "Focal",
    "CrossEntropyLoss": "CE",
}
BOX_LOSSES = {"GIoULoss": "GIoU", "L1Loss": "L1"}


def loss_cls(config: Config) -> str:
    """Return the loss on classes."""
    kind = final_head(config).loss_cls.type
    return CLASS_LOSSES.get(kind, kind)


def loss_bbox(config: Config) -> str:
    """Return the loss on boxes; empty if no box is predicted."""
    head = final_head(config)
    name = loss_cls(config)
    if name == "PAP":
        return "PAP"
    if "loss_bbox" not in head:
        return ""
    loss = head.loss_bbox
    if name == "aLRP":
        return "aLRP (GIoU)"
    if loss.type == "SmoothL1Loss":
        return f"SmoothL1(beta={loss.get('beta', 1.0)})"
    return BOX_LOSSES.get(loss.type, loss.type)


def loss_mask(config: Config) -> str:
    """Return the loss on masks; empty if none is predicted."""
    head = mask_head(config)
    if head is None:
        return ""
    kind = head.loss_mask.type
    return "Dice" if "Dice" in kind else CLASS_LOSSES.get(kind, kind)


def loss_hparams(config: Config) -> str:
    """Return the numbers of the losses, as ``name=value`` words."""
    return " ".join(f"{name}={value:g}" for name, value in _numbers(config))


def _numbers(config: Config) -> Iterator[tuple[str, float]]:
    head = final_head(config)
    settings = {**_defaults(head.loss_cls.type), **head.get("loss_candidate", {}), **head.loss_cls}
    names = ("delta", "eps", "gamma", "alpha", "top_k")
    yield from ((name, settings[name]) for name in names if name in settings)
    loss = head.get("loss_bbox", ConfigDict())
    if loss.get("type") == "SmoothL1Loss":
        yield "beta", loss.get("beta", 1.0)
    if loss_cls(config) in ("Focal", "CE"):
        for _, each in heads(config):
            kind = each.get("loss_bbox", {}).get("type")
            if kind in BOX_LOSSES:
                yield f"{BOX_LOSSES[kind]}_weight", each.loss_bbox.get("loss_weight", 1.0)
    for key in ("initial", "period"):
        balances = [node.self_balance for node in nodes(config.model) if "self_balance" in node]
        values = {balance[key] for balance in balances if key in balance}
        yield from ((key, value) for value in sorted(values))
    for name, each in heads(config):
        if "box_gradient_scale" in each:
            yield f"{name}_box_gradient", each.box_gradient_scale
    rpn = config.model.get("rpn_head", ConfigDict())
    if "head_weight" in rpn:
        yield "head_weight", rpn.head_weight
    if "stage_loss_weights" in config.model.get("roi_head", {}):
        for stage, weight in enumerate(config.model.roi_head.stage_loss_weights):
            yield f"stage{stage}_weight", weight


def _defaults(loss: str) -> dict[str, float]:
    """Return the settings that a loss of this package takes where the config says nothing."""
    kind = getattr(losses, loss, None)
    if kind is None:
        return {}
    settings = inspect.signature(kind).parameters.values()
    return {each.name: each.default for each in settings if each.default is not each.empty}


# How the catalogue's prose says a number -> its name above.
SAID = {
    "delta": r"delta=([\d.]+)",
    "eps": r"delta=[\d.]+ eps=([\d.e-]+)",
    "gamma": r"gamma[= ]([\d.]+)",
    "alpha": r"alpha[= ]([\d.]+)",
    "beta": r"SmoothL1 beta=([\d.]+)",
    "GIoU_weight": r"GIoU[^;]*? weight ([\d.]+)",
    "L1_weight": r"(?<!Smooth)L1 weight ([\d.]+)",
    "initial": r"self-balance weight init ([\d.]+)",
    "period": r"re-set every (\d+) iterations",
    "head_weight": r"head_weight[= ]([\d.]+)",
    "top_k": r"top (\d+) scores kept",
    "rpn_box_gradient": r"RPN reg_weight=([\d.]+)",
    "bbox_box_gradient": r"(?:RoI |\()reg_weight=([\d.]+)",
    "stage0_weight": r"stage_loss_weights \[([\d.]+)",
    "stage1_weight": r"stage_loss_weights \[[\d.]+,([\d.]+)",
    "stage2_weight": r"stage_loss_weights \[[\d.]+,[\d.]+,([\d.]+)",
}


def said_numbers(text: str, loss: str) -> dict[str, float]:
    """Return the numbers that the catalogue states about the losses of a row.

    Args:
        text: its ``loss_hparams``.
        loss: its ``loss_cls``: some texts give one number for two losses.
    """
    if " or 1.0 (AP/BAP)" in text:
        return {"delta": 1.0 if loss in ("AP", "BAP") else 0.5}
    found = {name: re.search(pattern, text) for name, pattern in SAID.items()}
    return {name: float(match[1]) for name, match in found.items() if match}
