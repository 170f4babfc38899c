"""The accelerator's path, on the CPU."""

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import rankdet.losses  # noqa: F401 -- its modules are looked up below

torch.set_num_threads(1)  # small problems: threads cost more than they bring


class HostReads(TorchDispatchMode):
    """Note operations that would wait for an accelerator, or add floats in no fixed order.

    ``launches`` counts what an accelerator would queue: all but views.
    """

    waiting = ("nonzero.", "_local_scalar_dense", "masked_select", "unique", "_unique", "bincount")
    unordered = ("cumsum", "index_add", "scatter_add", "index_put", "histc")

    def __init__(self):
        super().__init__()
        self.refused = []
        self.launches = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__
        self.launches += not func.is_view
        if name.startswith(self.waiting):
            self.refused.append(name)
        if name.startswith(("index.Tensor", "index_put")) and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        ):
            self.refused.append(f"{name} by a mask")
        adds = not name.startswith("index_put") or (len(args) > 3 and args[3])
        if adds and name.startswith(self.unordered) and args[0].is_floating_point():
            self.refused.append(f"{name} of floats")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def as_accelerator(monkeypatch):
    """Take the path of an accelerator; the value counts the host reads."""
    reads = []
    for name, module in list(sys.modules.items()):
        if name.startswith("rankdet.losses"):
            if hasattr(module, "is_accelerator"):
                monkeypatch.setattr(module, "is_accelerator", lambda tensor: True)
            if hasattr(module, "read_on_host"):
                original = module.read_on_host

                def counted(values, original=original):
                    reads.append(len(values))
                    return original(values)

                monkeypatch.setattr(module, "read_on_host", counted)
    return reads
