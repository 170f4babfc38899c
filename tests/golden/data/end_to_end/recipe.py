# fmt: off
# ruff: noqa: E501
"""Weights from the names of the tensors alone (numpy's legacy generator: the same in every version).

`fill(state, extra)` fills a state dict in place.  `extra` (an npz) holds what was measured: statistics
of the batch norms, and the last layers, which are scaled so that scores and boxes spread.
"""
import zlib

import numpy as np
import torch


def tensor(name, shape):
    """Return float32 values for one tensor (array of that shape)."""
    draw = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked") or name.endswith("running_mean"):
        return np.zeros(shape, np.float32)
    if name.endswith("running_var"):
        return np.ones(shape, np.float32)
    if name.endswith(".scale"):
        return draw.uniform(0.8, 1.2, shape).astype(np.float32)
    if len(shape) > 1:
        fan_in = int(np.prod(shape[1:]))
        gain = 1.0 if name.startswith("neck") else 2.0
        return (draw.standard_normal(shape) * np.sqrt(gain / fan_in)).astype(np.float32)
    is_norm = ".bn" in name or ".gn" in name or "downsample.1" in name or ".norm" in name
    if not is_norm:
        return np.zeros(shape, np.float32)
    if name.endswith("bias"):
        return (0.1 * draw.standard_normal(shape)).astype(np.float32)
    low, high = (0.2, 0.5) if ".bn3." in name else (0.6, 1.0)
    return draw.uniform(low, high, shape).astype(np.float32)


def fill(state, extra=None):
    """Fill a state dict in place; names without a place in the recipe (self-balance) stay."""
    for name, value in state.items():
        if ".self_balance." in name:
            continue
        if extra is not None and name in extra:
            new = extra[name]
        elif extra is not None and name + "@scale" in extra:
            new = tensor(name, tuple(value.shape)) * np.float32(extra[name + "@scale"])
        else:
            new = tensor(name, tuple(value.shape))
        value.copy_(torch.as_tensor(np.asarray(new)).to(value.dtype).reshape(value.shape))
    return state
