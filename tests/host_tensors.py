"""Find tensors born on the host that meet those of the device, where both are the CPU.

`torch.arange(n)` beside an image is an error on a GPU and none here. So a factory called without
`device` marks what it makes, the mark follows what is computed of marked tensors alone, and an
operation of marked and other tensors is noted. A marked number (no dimension) may meet any tensor,
and a marked index may select from any, as on a GPU.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

FACTORIES = {
    *(torch.zeros, torch.ones, torch.empty, torch.full, torch.arange, torch.linspace, torch.eye),
    *(torch.tensor, torch.as_tensor, torch.from_numpy, torch.rand, torch.randn, torch.randint),
    *(torch.randperm, torch.triu_indices, torch.tril_indices),
}
# They take their place from the tensor they are called on, whatever else they are given.
PLACED = ("new_tensor", "new_zeros", "new_ones", "new_full", "new_empty", "type_as")


class HostTensors(TorchFunctionMode):
    """Note where tensors of the host and of the device meet.

    Attributes:
        met: `operation @ file:line` of each place, once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.met: list[str] = []
        self._of_host = WeakIdKeyDictionary()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Run ``func``; mark what it makes or note what it mixes."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        given = list(_tensors((args, kwargs)))
        if func in FACTORIES:
            if not given and kwargs.get("device") is None:
                self._mark(result)
        elif name == "to" and _names_a_place(args[1:], kwargs):
            self._of_host.pop(result, None)
        elif name == "cpu":
            self._mark(result)
        elif name not in PLACED:
            self._follow(name, given, result)
        return result

    def _follow(self, name: str, given: list[torch.Tensor], result) -> None:
        of_host = [each for each in given if each in self._of_host]
        if len(of_host) == len(given):
            if given:
                self._mark(result)
            return
        selects = name in ("__getitem__", "__setitem__") and given[0] not in self._of_host
        if any(each.dim() for each in of_host) and not selects:
            place = f"{name} @ {_place()}"
            if place not in self.met:
                self.met.append(place)

    def _mark(self, result) -> None:
        for each in _tensors(result):
            self._of_host[each] = True


def _tensors(value) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _names_a_place(args, kwargs) -> bool:
    values = (*args, *kwargs.values())
    return any(isinstance(each, torch.device | str | torch.Tensor) for each in values)


def _place() -> str:
    frames = [f for f in traceback.extract_stack() if "/torch/" not in f.filename]
    last = next(f for f in reversed(frames) if f.filename != __file__)
    return f"{Path(last.filename).name}:{last.lineno}"
