"""What a folder of end-to-end recordings holds; nothing is known of it but the names of files."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from torch import Tensor

HERE = Path(__file__).parents[1] / "data/end_to_end"
# What a train pipeline of mmdet hands on about an image.
META = ("img_id", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")


def golden_folder() -> Path:
    """Where the recordings are: $RANKDET_GOLDEN, or the committed copy."""
    if os.environ.get("RANKDET_GOLDEN"):
        return Path(os.environ["RANKDET_GOLDEN"]) / "end_to_end"
    return HERE


def coco_folder(given: Path | None = None) -> Path | None:
    """Return the folder of real COCO images, if there is one here.

    Args:
        given: by the user; else ``coco_real`` of $RANKDET_DATA, or of shared/data beside the
            checkout.
    """
    beside = Path(__file__).parents[4] / "shared/data"
    folder = given or Path(os.environ.get("RANKDET_DATA") or beside) / "coco_real"
    return folder if (folder / "annotations").is_dir() else None


@dataclass(frozen=True)
class Case:
    """The recording of one entry: a folder named by the entry's id.

    Attributes:
        folder: where its files are.
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def lacks(self, *files: str) -> str:
        """Return why a part that needs ``files`` cannot run; empty if they are all here."""
        missing = [name for name in files if not (self.folder / name).is_file()]
        return f"no {', '.join(missing)}" if missing else ""

    def json(self, file: str):
        return json.loads((self.folder / file).read_text())

    @cached_property
    def setup(self) -> dict:
        return self.json("setup.json") if not self.lacks("setup.json") else {}

    @property
    def entry_id(self) -> str:
        return self.setup.get("case", self.name)

    @property
    def extra(self) -> dict[str, np.ndarray]:
        """Batch-norm statistics and last layers that the recipe does not give."""
        if self.lacks("weights_extra.npz"):
            return {}
        with np.load(self.folder / "weights_extra.npz") as archive:
            return dict(archive)

    @cached_property
    def batches(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "batches.npz") as archive:
            return dict(archive)

    def batch_size(self, index: int) -> int:
        return sum(name.startswith(f"b{index}_i") and "_raw" in name for name in self.batches)

    def batch_count(self) -> int:
        return len({name.split("_")[0] for name in self.batches if name.endswith("_raw")})

    def batch(self, index: int) -> dict[str, list]:
        """Return a recorded batch as our data loader would hand it to the model."""
        packed = [self._image(f"b{index}_i{i}_") for i in range(self.batch_size(index))]
        return {name: [image[name] for image in packed] for name in ("inputs", "data_samples")}

    def _image(self, prefix: str) -> dict:
        found = {
            name.removeprefix(prefix): value
            for name, value in self.batches.items()
            if name.startswith(prefix)
        }
        image = found["raw"]
        boxes, labels = found["boxes"].reshape(-1, 4), found["labels"]
        ignored = found.get("ignored", np.zeros((0, 4), np.float32)).reshape(-1, 4)
        results = dict(
            img=image,
            img_id=int(found.get("id", 0)),
            img_shape=image.shape[:2],
            ori_shape=tuple(int(side) for side in found.get("ori_shape", image.shape)[:2]),
            scale_factor=_factors(found.get("scale_factor", np.ones(2))),
            flip=bool(found.get("flip", False)),
            flip_direction="horizontal" if found.get("flip", False) else None,
            gt_bboxes=HorizontalBoxes(np.concatenate([boxes, ignored]).astype(np.float32)),
            gt_bboxes_labels=np.concatenate([labels, np.zeros(len(ignored), np.int64)]),
            gt_ignore_flags=np.arange(len(boxes) + len(ignored)) >= len(boxes),
        )
        if "masks" in found:
            masks = unpacked(found["masks"], found["masks_shape"])
            height, width = image.shape[:2]
            if masks[:, height:].any() or masks[:, :, width:].any():
                raise ValueError(f"{prefix}masks has pixels outside the image")
            masks = masks[:, :height, :width]
            masks = np.concatenate([masks, np.zeros((len(ignored), height, width), np.uint8)])
            results["gt_masks"] = BitmapMasks(masks, height, width)
        return PackDetInputs(meta_keys=META)(results)


def _factors(recorded: np.ndarray) -> tuple[float, float]:
    """Return the factors of width and height; some official code has one for both."""
    factors = [float(factor) for factor in np.ravel(recorded)[:2]]
    return factors[0], factors[-1]


def unpacked(bits: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return recorded masks [N, H, W] of 0 and 1 from their bits."""
    shape = tuple(int(side) for side in shape)
    return np.unpackbits(bits)[: int(np.prod(shape))].reshape(shape)


def read_cases(folder: Path) -> list[Case]:
    """Return the recorded entries of a folder, in the order of their names."""
    return [
        Case(path) for path in sorted(folder.iterdir()) if path.is_dir() and any(path.iterdir())
    ]


@cache
def recipe(folder: Path) -> ModuleType:
    """Return the recipe of the weights: the recording's own, else that of the committed copy."""
    file = next(f / "recipe.py" for f in (folder, HERE) if (f / "recipe.py").is_file())
    spec = importlib.util.spec_from_file_location("recorded_recipe", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def relative(ours: float, official: float) -> float:
    """Return the error of a number, relative to the official one."""
    return abs(ours - official) / max(abs(official), 1e-12)


def norm_of(tensors: list[Tensor]) -> float:
    """Return the norm of several tensors together, summed in double precision."""
    return (
        float(sum(t.detach().double().square().sum() for t in tensors) ** 0.5) if tensors else 0.0
    )


def as_state(names: dict[str, list[int]]) -> dict[str, Tensor]:
    """Return zeros under the official names, to be filled."""
    return {
        name: torch.zeros(
            shape, dtype=torch.int64 if name.endswith("num_batches_tracked") else torch.float32
        )
        for name, shape in names.items()
    }
