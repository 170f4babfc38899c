"""torch.compile leaves the losses as they are: a graph break before and after each.

Their shapes depend on the number of positives, and their gradients are not the derivatives of their
values, so there is nothing for a compiler to trace through. What surrounds the loss is compiled.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")


def not_compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """As torch.compiler.disable, which would load the compiler (seconds) when this is imported."""
    disabled = None

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        nonlocal disabled
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if disabled is None:
            disabled = torch.compiler.disable(function)
        return disabled(*args, **kwargs)

    return call
