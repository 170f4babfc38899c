"""Our data sets and transforms on real images, found by what a recording needs of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import DATASETS, MODELS, TRANSFORMS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS
from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.manifest import Manifest
from rankdet.training.resolve import resolve
from rankdet.training.shrink import nodes


@cache
def manifest(data: Path, work: Path) -> Manifest:
    """Return the real images as `rankdet prepare` takes them over."""
    return prepare_coco(data, work / "prepared" / "dataset.json")


def data_node(config: Config, split: str) -> ConfigDict:
    """Return the config of the data set itself, whatever wraps it."""
    loader = config[f"{split}_dataloader"]
    return next(node for node in nodes(loader.dataset) if "ann_file" in node)


def candidates(stem: str) -> Iterator[tuple[str, Config]]:
    """Yield the entries that a recording may be of, those named like it first, with configs."""
    entries = [e.entry_id for e in load_catalogue() if Path(e.config_path).exists()]
    first = [name for name in entries if name.startswith(f"{stem}_")]
    inside = [name for name in entries if stem in name and name not in first]
    for name in (*first, *inside, *(n for n in entries if n not in first + inside)):
        yield name, resolved(name)


@cache
def resolved(entry_id: str) -> Config:
    """Return an entry's config under preset paper; shared, so not to be changed."""
    return resolve(entry_id, PRESETS["paper"], None)


class Pipeline:
    """The data of an entry: images by id, transforms one by one.

    Args:
        entry_id: whose pipeline it is.
        data: folder of real COCO images.
        work: for the manifest.
        split: "train" or "val".
    """

    def __init__(self, entry_id: str, data: Path, work: Path, split: str = "train") -> None:
        register_all_modules()
        self.entry_id = entry_id
        self.config = resolve(entry_id, PRESETS["paper"], manifest(data, work))
        self.node = data_node(self.config, split)
        self.dataset = DATASETS.build(self.node)
        self.dataset.full_init()
        self.rows = [self.dataset.get_data_info(i) for i in range(len(self.dataset))]
        self.ids = [row["img_id"] for row in self.rows]
        self.steps = [TRANSFORMS.build(dict(step)) for step in self.node.pipeline]

    def loaded(self, image_id: int) -> dict[str, Any]:
        """Return an image with its annotations, before the first transform."""
        row = copy.deepcopy(self.rows[self.ids.index(image_id)])
        for step in self.steps:
            if type(step).__name__.startswith("Load"):
                row = step(row)
        return row

    def step(self, kind: str):
        """Return the transform of this name, or ours in its place."""
        exact = [step for step in self.steps if type(step).__name__ == kind]
        ours = [s for s in self.steps if any(kind == base.__name__ for base in type(s).__mro__)]
        named = [s for s in self.steps if kind.lower() in type(s).__name__.lower()]
        return next(iter([*exact, *ours, *named]), None)

    def transforms(self) -> list:
        """Return the transforms between loading and packing."""
        names = ("Load", "Pack")
        return [step for step in self.steps if not type(step).__name__.startswith(names)]

    def preprocessor(self):
        """Return what normalizes and pads the images of a batch."""
        return MODELS.build(self.config.model.data_preprocessor)


def found(results: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return what recordings hold of an image between two transforms."""
    boxes = results["gt_bboxes"].tensor.numpy().reshape(-1, 4)
    ignored = np.asarray(results["gt_ignore_flags"], bool)
    arrays = {
        "img": results["img"],
        "boxes": boxes[~ignored],
        "ignored": boxes[ignored],
        "labels": np.asarray(results["gt_bboxes_labels"])[~ignored],
    }
    if "gt_masks" in results:
        arrays["masks"] = results["gt_masks"].to_ndarray()[~ignored]
    return arrays
