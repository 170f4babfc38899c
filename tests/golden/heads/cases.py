"""Recorded cases of the heads: one line of manifest.json and its arrays."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from tests.golden.place import tensor_of

# Longest first: a case belongs to the first head whose name it starts with.
HEADS = sorted(
    (
        *("alrp.alrp_fovea", "alrp.alrp_retina", "alrp.alrp_retina_atss", "alrp.ap_fovea"),
        *("alrp.ap_retina", "alrp.roi", "alrp.rpn", "pap.pap_retina", "pap.roi", "pap.rpn"),
        *("rs.atss", "rs.cascade", "rs.mask", "rs.paa", "rs.roi", "rs.rpn", "rs.solov2"),
        "rs.yolact",
    ),
    key=len,
    reverse=True,
)


def golden_folder() -> Path:
    """Where the cases are: $RANKDET_GOLDEN, the committed copy, or beside the checkout."""
    here = Path(__file__).parents[1] / "data/heads"
    if os.environ.get("RANKDET_GOLDEN"):
        return Path(os.environ["RANKDET_GOLDEN"]) / "heads"
    return here if here.is_dir() else Path(__file__).parents[4] / "shared/golden/heads"


@dataclass(frozen=True)
class Case:
    """One recorded case.

    Attributes:
        name: such as ``rs.atss_trained``.
        about: its line in the manifest.
        folder: where the arrays are.
    """

    name: str
    about: dict
    folder: Path

    @property
    def kind(self) -> str:
        return self.about["kind"]

    @property
    def head(self) -> str:
        """The head it belongs to, as in the manifest's documentation."""
        found = (head for head in HEADS if self.name.startswith(f"{head}_"))
        return next(found, self.about["official_class"])

    @property
    def settings(self) -> dict:
        """Settings of the official head, the training config in effect included."""
        return self.about["head"]

    @property
    def classes(self) -> int:
        return self.about["num_classes"]

    @property
    def raises(self) -> bool:
        """Whether the official code stopped with an exception; only ground truth is stored then."""
        return "error" in self.about

    @cached_property
    def inputs(self) -> dict[str, np.ndarray]:
        """Arrays ``in.*`` by their name without the prefix."""
        return self._arrays(self.about.get("inputs_file", self.about["file"]), "in.")

    @cached_property
    def outputs(self) -> dict[str, np.ndarray]:
        """Arrays ``out.*`` by their name without the prefix."""
        return self._arrays(self.about["file"], "out.")

    def _arrays(self, file: str, prefix: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / file) as archive:
            names = [name for name in archive.files if name.startswith(prefix)]
            return {name.removeprefix(prefix): archive[name] for name in names}

    def stored(self, name: str) -> list[np.ndarray]:
        """Return the outputs ``name_0``, ``name_1``, ..."""
        return _numbered(self.outputs, name)

    def stored_losses(self, iteration: str = "") -> dict[str, float]:
        """Return the recorded loss terms by name."""
        start = f"{iteration}loss."
        return {
            name.removeprefix(start): float(value)
            for name, value in self.outputs.items()
            if name.startswith(start)
        }

    def tensors(self, name: str, grad: bool = False) -> list[Tensor]:
        """Return the inputs ``name_0``, ``name_1``, ... as tensors."""
        arrays = _numbered(self.inputs, name)
        return [tensor_of(array).requires_grad_(grad) for array in arrays]

    def metas(self) -> list[dict]:
        """Return what mmdet 3.3 wants to know of each image."""
        return [
            dict(
                img_shape=tuple(meta["img_shape"][:2]),
                pad_shape=tuple(meta["pad_shape"][:2]),
                ori_shape=tuple(meta["ori_shape"][:2]),
                batch_input_shape=tuple(meta["pad_shape"][:2]),
                scale_factor=tuple(meta["scale_factor"][:2]),
            )
            for meta in self.about["metas"]
        ]

    def ground_truth(self, iteration: str = "") -> list[InstanceData]:
        """Return boxes and labels of each image; an RPN sees one class."""
        boxes = self.tensors(f"{iteration}gt_bboxes")
        labels = self.tensors(f"{iteration}gt_labels")
        if self.settings.get("family") == "rpn":
            labels = [torch.zeros_like(label) for label in labels]
        return [
            InstanceData(bboxes=box.float(), labels=label.long())
            for box, label in zip(boxes, labels, strict=True)
        ]

    def ignored(self) -> list[InstanceData] | None:
        """Return the ignored regions of each image, if the case has any."""
        boxes = {
            name: tensor_of(array).float()
            for name, array in self.inputs.items()
            if name.startswith("gt_bboxes_ignore_")
        }
        if not boxes:
            return None
        none = torch.zeros(0, 4)
        count = len(self.about["metas"])
        return [
            InstanceData(bboxes=boxes.get(f"gt_bboxes_ignore_{image}", none))
            for image in range(count)
        ]

    def parameters(self) -> dict[str, Tensor]:
        """Return the recorded state dict."""
        return {
            name.removeprefix("param."): tensor_of(array)
            for name, array in self.inputs.items()
            if name.startswith("param.")
        }


def _numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    found = []
    while f"{name}_{len(found)}" in arrays:
        found.append(arrays[f"{name}_{len(found)}"])
    return found


def read_cases(folder: Path) -> list[Case]:
    """Return the cases of a directory in the manifest's order."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return [Case(name, about, folder) for name, about in manifest["cases"].items()]
