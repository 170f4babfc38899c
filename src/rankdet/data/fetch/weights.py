"""Read tensors from a PyTorch file of unknown origin, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rankdet.data.checkpoint_files import not_finite, read_checkpoint
from rankdet.errors import InputError, shown

# Where the weights stand in files of mmdetection, of timm and Swin, of plain scripts.
HOLDERS = ("state_dict", "model")
# Of ResNet, of Swin, of a detector with a ResNet.
FIRST_LAYERS = {"conv1.weight", "patch_embed.proj.weight", "backbone.conv1.weight"}


def load_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a checkpoint, read with weights-only loading.

    Raises:
        InputError: as `read_checkpoint`, or if the file holds no tensors by name, or NaN or inf.
    """
    return named_tensors(read_checkpoint(path), path)


def named_tensors(content: Any, path: str | Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a checkpoint's content, as `load_tensors` does."""
    for holder in HOLDERS:
        if isinstance(content, Mapping) and isinstance(content.get(holder), Mapping):
            content = content[holder]
            break
    if not isinstance(content, Mapping) or not content:
        raise InputError("a checkpoint of named tensors", f"{path} without any", "get another file")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(
                "a checkpoint of named tensors",
                f"{path} with {shown(name)}: {type(value).__name__}",
                "get a file that holds a state dict",
            )
    if broken := not_finite(content):
        raise InputError("finite weights", f"NaN or inf in {broken[0]} of {path}", "get it again")
    return dict(content)


def check_backbone(path: Path) -> None:
    """Check that a file holds the weights of a backbone or of a detector, all finite.

    Raises:
        InputError: if it does not.
    """
    tensors = load_tensors(path)
    if not FIRST_LAYERS & tensors.keys():
        raise InputError(
            f"a backbone or detector, with one of {', '.join(sorted(FIRST_LAYERS))}",
            f"{path} with {', '.join(list(tensors)[:3])}, ...",
            "get the file that configs/downloads.csv names",
        )
