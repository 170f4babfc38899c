"""The weights a training starts from: fetched before, verified here, no download on the way."""

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
    """Let ``config`` start from the local copy of the official run's weights.

    Args:
        config: changed in place.
        entry: whose official run it is.
        folder: where `rankdet fetch backbone` put them.

    Returns:
        {"file", "sha256"} for the run's record; None if the run starts from scratch.

    Raises:
        InputError: if the file is not there or not the right one, or is not known.
    """
    row = backbone_of(entry)
    places = list(pretrained(config))
    if row is None:
        if not places and not config.get("load_from"):
            return None
        wanted = places[0].checkpoint if places else config.load_from
        raise InputError(
            f"the start weights of {entry.entry_id} in configs/downloads.csv",
            f"{wanted}, which is not among them",
            "add a row, and name it in the entry's column pretrained",
        )
    path = folder / row.file
    if not path.is_file():
        raise InputError(
            f"{row.file}, from which the official run of {entry.entry_id} starts",
            f"no such file in {folder}",
            f"run `rankdet fetch backbone {row.name}` first",
        )
    sha256 = verify(row, path, sha256=recorded_sha256(path))
    check_backbone(path)  # it may have been put there by hand
    if row.kind == "model":
        config.load_from = str(path)
    for node in places:
        node.checkpoint = str(path)
    return {"file": row.file, "sha256": sha256}


def use_drawn_weights(config: Config, entry: Entry, folder: Path) -> dict | None:
    """Let ``config`` start from random weights in a file of the layout that the official run reads.

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
        own = copy.deepcopy(config.model)  # built without the address of any weights
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
    """Write random tensors with the names and shapes of ``model``, and a classifier besides.

    They keep the size of activations: norm layers that a row freezes do not learn to.
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
            # The last norm layer of a residual block is small, so that blocks do not add up.
            state[name] = torch.full_like(tensor, 0.2 if "bn3.weight" in name else 1.0)
        else:
            state[name] = torch.zeros_like(tensor)
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 8), torch.zeros(1000)
    with atomic_path(path) as part, part.open("wb") as stream:
        torch.save(state, stream)  # to a path it would write the name too, and so another hash


def require_local(config: Config) -> None:
    """Check that ``config`` names no weights that would be downloaded on the way.

    Raises:
        InputError: naming the first one that is no file here.
    """
    addresses = [node.checkpoint for node in pretrained(config)]
    for address in filter(None, [*addresses, config.get("load_from")]):
        if not Path(address).is_file():
            raise InputError(
                "weights that were fetched before", repr(address), "run `rankdet fetch backbone`"
            )


def forget_weights(config: Config) -> None:
    """Take out every address of weights: what is loaded next replaces them all."""
    config.load_from = None
    for node in shrink.nodes(config.model):
        if is_pretrained(node.get("init_cfg")):
            node.init_cfg = None


def pretrained(config: Config) -> Iterator[ConfigDict]:
    """Yield every part of the model's config that names a checkpoint to start from."""
    return (node for node in shrink.nodes(config.model) if is_pretrained(node))


def is_pretrained(node: object) -> bool:
    """Tell whether a config node is mmengine's `Pretrained` initialiser."""
    return isinstance(node, dict) and node.get("type") == "Pretrained"
