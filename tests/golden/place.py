"""Where cases are replayed: a CPU, or the device that `--device` names (make gpu-check)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def use_device(name: str) -> None:
    """Create every tensor on ``name`` from now on, those of heads and of recorded arrays alike."""
    torch.set_default_device(name)


def tensor_of(array: np.ndarray) -> Tensor:
    """Return a recorded array as a tensor on the device in use."""
    return torch.from_numpy(np.array(array)).to(torch.get_default_device())


def array_of(tensor: Tensor) -> np.ndarray:
    """Return a tensor of any device as an array."""
    return tensor.detach().cpu().numpy()


def drawn(generator: torch.Generator, *shape: int) -> Tensor:
    """Return normal numbers of a CPU generator, the same on every device."""
    numbers = torch.randn(*shape, generator=generator, device="cpu")
    return numbers.to(torch.get_default_device())
