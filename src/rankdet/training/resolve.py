"""The resolved config of an entry under a preset, on a prepared data set."""

from __future__ import annotations

import copy
from collections import Counter

from mmengine.config import Config, ConfigDict

from rankdet.catalogue.presets import Preset
from rankdet.datasets.images import STORED
from rankdet.datasets.manifest import Manifest
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.models.build import load_config
from rankdet.training import shrink
from rankdet.training.presets import apply_preset


def resolve(entry_id: str, preset: Preset, data: Manifest | None) -> Config:
    """Return the full config of a run; without ``data`` the paths of the config are kept."""
    config = load_config(entry_id)
    apply_preset(config, preset)
    if data is not None:
        connect_data(config, data)
        if preset.iterations is not None:
            _set_balance_period(config, data)
    return config


def connect_data(config: Config, data: Manifest) -> None:
    """Set the data of every loader and evaluator, and the number of classes of the heads.

    Raises:
        InputError: if the model needs masks and an annotation of ``data`` has none, or if the
            row's loader filters out all of its images.
    """
    if "segm" in _iou_types(config):
        _require_masks(data)
    metainfo = dict(classes=tuple(data.classes))
    for name, split in (("train", "train"), ("val", "val"), ("test", "val")):
        for node in shrink.nodes(config[f"{name}_dataloader"].dataset):
            if "ann_file" in node:
                node.update(
                    ann_file=str(data.annotations(split)),
                    data_root="",
                    data_prefix=dict(img=str(data.images(split)) + "/"),
                    metainfo=metainfo,
                )
                if data.format == "lvis":
                    node.type = "LvisDataset"
                if name == "train" and data.train.trainable == 0:
                    _require_large_images(node, data)
                if getattr(data, split).orientation == STORED:
                    node.pipeline = _without_turns(node.pipeline)
    config.val_evaluator = config.test_evaluator = ConfigDict(
        type="RankdetMetric",
        ann_file=str(data.annotations("val")),
        iou_types=_iou_types(config),
        protocol=data.format,
        category_ids=list(data.category_ids),
    )
    shrink.set_classes(config.model, len(data.classes))
    _set_class_counts(config, data)


def _set_class_counts(config: Config, data: Manifest) -> None:
    """Tell a loss that is weighted by class how many training objects each class has."""
    nodes = [node for node in shrink.nodes(config.model) if "class_counts" in node]
    if not nodes:
        return
    document = read_json(data.annotations("train"), "the annotations of the train split")
    found = Counter(each["category_id"] for each in document["annotations"])
    for node in nodes:
        node.class_counts = [found[category] for category in data.category_ids]


def _require_masks(data: Manifest) -> None:
    for name in ("train", "val"):
        split = getattr(data, name)
        if split.without_mask:
            raise InputError(
                f"a mask for every annotation in {data.annotations(name)}: this row trains masks",
                f"{split.without_mask} of {split.annotation_count} without a usable one, first: "
                f"{split.mask_problem}",
                "add polygons with at least three points or RLEs, or choose a row without masks",
            )


def _require_large_images(node: ConfigDict, data: Manifest) -> None:
    smallest = (node.get("filter_cfg") or {}).get("min_size", 0)
    if smallest:
        raise InputError(
            f"images of at least {smallest} pixels with annotations, as this row requires",
            f"none in {data.annotations('train')}",
            "enlarge the images and their boxes",
        )


def _without_turns(pipeline: list) -> list:
    """Return ``pipeline`` that reads images as stored, ignoring the EXIF orientation."""
    changed = copy.deepcopy(pipeline)  # loaders may share it
    for step in changed:
        if step.type == "LoadImageFromFile":
            step.color_type = "color_ignore_orientation"
    return changed


def _set_balance_period(config: Config, data: Manifest) -> None:
    """Update aLRP's self-balancing once per epoch; the published period is for COCO, batch 32."""
    period = max(1, data.train.image_count // config.train_dataloader.batch_size)
    for node in shrink.nodes(config.model):
        if "self_balance" in node:
            node.self_balance.period = period


def _iou_types(config: Config) -> list[str]:
    """Return the types of the model's detections: SOLOv2 has masks without boxes."""
    model = config.model
    has_boxes = "bbox_head" in model or "roi_head" in model
    has_masks = "mask_head" in model or "mask_head" in model.get("roi_head", {})
    return ["bbox"] * has_boxes + ["segm"] * has_masks
