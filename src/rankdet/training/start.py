"""The initial weights of a training: already downloaded, verified here."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from torch import nn

from rankdet.catalogue import Entry
from rankdet.downloads.obtain import recorded_sha256
from rankdet.downloads.table import backbone_of
from rankdet.downloads.verify import verify
from rankdet.errors import InputError
from rankdet.hashing import file_sha256
from rankdet.outputs import atomic_path
from rankdet.training import processes, shrink
from rankdet.weights.checkpoint_files import check_backbone


def use_local_weights(config: Config, entry: Entry, folder: Path) -> dict | None:
    """Make ``config`` start from the local copy of the official pretrained weights.

    Args:
        config: changed in place.
        entry: whose official run it is.
        folder: with the files of `rankdet fetch backbone`.

    Returns:
        {"file", "sha256"} for the run's record; None if the run starts from scratch.

    Raises:
        InputError: if the file is missing, wrong or unknown.
    """
    row = backbone_of(entry)
    places = list(pretrained(config))
    if row is None:
        if not places and not config.get("load_from"):
            return None
        wanted = places[0].checkpoint if places else config.load_from
        raise InputError(
            f"the pretrained weights of {entry.entry_id} in configs/downloads.csv",
            f"{wanted}, which is not listed there",
            "add a row, and name it in the entry's column pretrained",
        )
    path = folder / row.file
    if not path.is_file():
        raise InputError(
            f"{row.file}, the pretrained weights of {entry.entry_id}",
            f"no such file in {folder}",
            f"run `rankdet fetch backbone {row.name}` first",
        )
    sha256 = verify(row, path, sha256=recorded_sha256(path))
    check_backbone(path)  # it may have been copied by hand
    if row.kind == "model":
        config.load_from = str(path)
    for node in places:
        node.checkpoint = str(path)
    return {"file": row.file, "sha256": sha256}


def use_drawn_weights(config: Config, entry: Entry, folder: Path) -> dict | None:
    """Make ``config`` start from random weights in a file with the official layout.

    Args:
        config: changed in place.
        entry: whose official run it is.
        folder: where the file is written, by the first process.

    Returns:
        {"file", "sha256"} for the run's record; None if the run starts from scratch.
    """
    row = backbone_of(entry)
    places = list(pretrained(config))
    if row is None:
        return None
    path = folder / f"drawn-{row.file}"
    if processes.is_first():
        own = copy.deepcopy(config.model)  # built without loading weights
        for node in shrink.nodes(own):
            if is_pretrained(node.get("init_cfg")):
                node.init_cfg = None
        model = MODELS.build(own)
        write_drawn_weights(model if row.kind == "model" else model.backbone, path)
    processes.wait()
    if row.kind == "model":
        config.load_from = str(path)
    for node in places:
        node.checkpoint = str(path)
    return {"file": path.name, "sha256": file_sha256(path)}


def write_drawn_weights(model: nn.Module, path: Path) -> None:
    """Write random tensors with the names and shapes of ``model``, plus a classifier.

    Their scale preserves the size of activations, since frozen norm layers cannot adapt.
    """
    draw = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros_like(tensor)
        elif tensor.dim() > 1:
            spread = (2 / tensor[0].numel()) ** 0.5
            state[name] = torch.randn(tensor.shape, generator=draw) * spread
        elif name.endswith(("running_var", "weight")):
            # The last norm layer of a residual block is small, so that activations do not grow.
            state[name] = torch.full_like(tensor, 0.2 if "bn3.weight" in name else 1.0)
        else:
            state[name] = torch.zeros_like(tensor)
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 8), torch.zeros(1000)
    with atomic_path(path) as part, part.open("wb") as stream:
        torch.save(
            state, stream
        )  # with a path, the file would contain its name and the hash would change


def require_local(config: Config) -> None:
    """Check that ``config`` names no weights that mmengine would download.

    Raises:
        InputError: naming the first one that is not a local file.
    """
    addresses = [node.checkpoint for node in pretrained(config)]
    for address in filter(None, [*addresses, config.get("load_from")]):
        if not Path(address).is_file():
            raise InputError(
                "weights in a local file", repr(address), "run `rankdet fetch backbone`"
            )


def forget_weights(config: Config) -> None:
    """Remove all pretrained weights from ``config``: a checkpoint will replace them."""
    config.load_from = None
    for node in shrink.nodes(config.model):
        if is_pretrained(node.get("init_cfg")):
            node.init_cfg = None


def pretrained(config: Config) -> Iterator[ConfigDict]:
    """Yield every part of the model's config that names a checkpoint to start from."""
    return (node for node in shrink.nodes(config.model) if is_pretrained(node))


def is_pretrained(node: object) -> bool:
    """Tell whether a config node is mmengine's `Pretrained` initializer."""
    return isinstance(node, dict) and node.get("type") == "Pretrained"
