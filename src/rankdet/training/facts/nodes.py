"""Where the parts of a detector stand in its config."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict


def heads(config: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the heads that look at boxes: rpn, bbox (one-stage or RoI), or bbox0, bbox1, ..."""
    model = config.model
    if "rpn_head" in model:
        yield "rpn", model.rpn_head
    if "roi_head" in model:
        stages = model.roi_head.bbox_head
        if isinstance(stages, (list, tuple)):
            yield from ((f"bbox{stage}", head) for stage, head in enumerate(stages))
        else:
            yield "bbox", stages
    elif "bbox_head" in model:
        yield "bbox", model.bbox_head
    elif "cls_down_index" in model.get("mask_head", {}):  # SOLO: one head for class and mask
        yield "bbox", model.mask_head


def final_head(config: Config) -> ConfigDict:
    """Return the head whose detections count (of a cascade, its first stage)."""
    return next(head for name, head in heads(config) if name != "rpn")


def mask_head(config: Config) -> ConfigDict | None:
    """Return the head of the masks, if there is one."""
    model = config.model
    return model.get("roi_head", {}).get("mask_head") or model.get("mask_head")


def training_parts(config: Config) -> Iterator[tuple[str, ConfigDict]]:
    """Yield the parts of train_cfg that assign and sample: "", or rpn and rcnn, rcnn0, ..."""
    training = config.model.get("train_cfg") or ConfigDict()
    if "rcnn" not in training:
        if "assigner" in training:
            yield "", training
        return
    yield "rpn", training.rpn
    stages = training.rcnn
    if isinstance(stages, (list, tuple)):
        yield from ((f"rcnn{stage}", part) for stage, part in enumerate(stages))
    else:
        yield "rcnn", stages


def test_config(config: Config) -> ConfigDict:
    """Return the test settings of the final detections."""
    testing = config.model.test_cfg
    return testing.get("rcnn", testing)


def plain(value: object) -> object:
    """Return numbers and lists as a CSV shows them: tuples as lists."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def call(name: str, arguments: dict) -> str:
    """Return ``Name(key=value, ...)``."""
    shown = ", ".join(f"{key}={plain(value)}" for key, value in arguments.items())
    return f"{name}({shown})"
