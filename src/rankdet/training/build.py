"""Build an entry's model as configured for the official run, without weights."""

from __future__ import annotations

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from torch import nn

from rankdet.training.resolve import load_config


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
