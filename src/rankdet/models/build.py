"""An entry's own config and the model it describes, as in the official run, without weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import mmengine.config.utils
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from torch import nn

from rankdet.catalogue import load_catalogue
from rankdet.errors import InputError

# mmengine reads all metafiles of mmdet for each `mmdet::` base, which takes 0.4 s; so cache them.
mmengine.config.utils.load = cache(mmengine.config.utils.load)


def load_config(entry_id: str) -> Config:
    """Read an entry's own config, as in the official run.

    Raises:
        InputError: if the entry is unknown, or has no config here.
    """
    path = load_catalogue()[entry_id].config_path
    if not Path(path).exists():
        raise InputError(
            f"a config of {entry_id}", f"no {path}", "see `rankdet list` for the rows that run"
        )
    return Config.fromfile(path)


def build_model(entry_id: str, device: str = "meta") -> nn.Module:
    """Return the model of an entry.

    Args:
        entry_id: an id of the catalogue.
        device: "meta" allocates no memory, so that the largest model builds in a second.

    Raises:
        InputError: if the entry is unknown, or has no config here.
    """
    config = load_config(entry_id)
    register_all_modules()
    with torch.device(device):
        return MODELS.build(config.model)
