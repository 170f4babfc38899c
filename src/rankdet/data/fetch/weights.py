"""Read tensors from a PyTorch file of unknown origin, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from rankdet.errors import InputError

# Where the weights stand in files of mmdetection, of timm and Swin, of plain scripts.
HOLDERS = ("state_dict", "model")
# Of ResNet, of Swin, of a detector with a ResNet.
FIRST_LAYERS = {"conv1.weight", "patch_embed.proj.weight", "backbone.conv1.weight"}
# mmcv's training state has NumPy numbers among its metadata; these builders make such a number
# and can do nothing else. NumPy 2 moved the first; files know it by its old name.
_SCALAR = type(np.float64(0)).__reduce__(np.float64(0))[0]
_NUMBERS = [
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")},
]


def load_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return {name: tensor} of a checkpoint, read with weights-only loading.

    Raises:
        InputError: if the file would run code to be read, is damaged, or holds no tensors by name.
    """
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError("a checkpoint", f"no file at {path}", "check the path") from None
    except Exception as error:
        reason = str(error).strip().splitlines()
        said = next((line for line in reason if "GLOBAL" in line or "legacy" in line), reason[:1])
        said = said if isinstance(said, str) else " ".join(said)
        raise InputError(
            "a checkpoint of tensors",
            f"{path}, which cannot be read without running code from it or is damaged "
            f"({type(error).__name__}: {said[:160]})",
            "it is never loaded another way; get a file that holds a state dict",
        ) from None
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
                f"{path} with {name!r}: {type(value).__name__}",
                "get a file that holds a state dict",
            )
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
    for name, value in tensors.items():
        if value.is_floating_point() and not value.sum().isfinite():
            raise InputError("finite weights", f"NaN or inf in {name} of {path}", "get it again")
