"""A module that stands for mmcv's compiled extension ``mmcv._ext``, with what rankdet's rows call.

mmcv's Python files ask at import whether the extension has each function that they may call. So
this module has every name; a function that is not provided raises `OperatorNotProvided` when it is
called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from rankdet.errors import InputError
from rankdet.ops import carafe, deform_conv, focal_loss, nms, roi_align

Functions = dict[str, Callable[..., Any]]


class OperatorNotProvided(NotImplementedError):
    """An operator of mmcv that rankdet does not provide was called."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"mmcv's operator {name!r} is not among the operators that rankdet provides without a "
            "compiler; use compiled mmcv instead of mmcv-lite: make env OPS=mmcv"
        )


PLAIN: Functions = {
    "nms": nms.nms,
    "roi_align_forward": roi_align.roi_align_forward,
    "roi_align_backward": roi_align.roi_align_backward,
    "deform_conv_forward": deform_conv.deform_conv_forward,
    "deform_conv_backward_input": deform_conv.deform_conv_backward_input,
    "deform_conv_backward_parameters": deform_conv.deform_conv_backward_parameters,
    "modulated_deform_conv_forward": deform_conv.modulated_deform_conv_forward,
    "modulated_deform_conv_backward": deform_conv.modulated_deform_conv_backward,
    "sigmoid_focal_loss_forward": focal_loss.sigmoid_focal_loss_forward,
    "sigmoid_focal_loss_backward": focal_loss.sigmoid_focal_loss_backward,
    "carafe_forward": carafe.carafe_forward,
    "carafe_backward": carafe.carafe_backward,
    "carafe_naive_forward": carafe.carafe_naive_forward,
    "carafe_naive_backward": carafe.carafe_naive_backward,
}
ABOUT: Functions = {
    "get_compiler_version": lambda: "none (rankdet.ops)",
    "get_compiling_cuda_version": lambda: "not available",  # what mmcv says without CUDA
}


class Extension(ModuleType):
    """What stands at ``mmcv._ext``; every public name is a function.

    Args:
        name: of the module.
        backend: "plain" or "torchvision".

    Attributes:
        backend: whose functions it has.
        functions: those that are provided, by name.
    """

    def __init__(self, name: str, backend: str) -> None:
        super().__init__(name, __doc__)
        self.backend = backend
        self.functions = functions_of(backend)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return self.functions.get(name) or functools.partial(_refuse, name)


def functions_of(backend: str) -> Functions:
    """The functions of mmcv's extension that a backend provides, by name.

    Args:
        backend: "plain", or "torchvision": its kernels where they fit, and plain ones otherwise.

    Returns:
        Functions with mmcv's arguments.

    Raises:
        InputError: if there is no torchvision for this torch.
    """
    functions = dict(PLAIN)
    if backend == "torchvision":
        try:
            from rankdet.ops import torchvision_kernels
        except (ImportError, RuntimeError, OSError) as error:  # none, or of another torch
            raise InputError(
                "torchvision for this torch", str(error), "install it, or set RANKDET_OPS=plain"
            ) from error
        functions |= {
            name: function for name, function in vars(torchvision_kernels).items() if name in PLAIN
        }
    return {name: _without_autocast(function) for name, function in functions.items()} | ABOUT


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute in the types of the arguments, as a compiled function does."""

    @functools.wraps(function)
    def call(first: Tensor, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(first.device.type, enabled=False):
            return function(first, *args, **kwargs)

    return call


def _refuse(name: str, *args: Any, **kwargs: Any) -> None:
    raise OperatorNotProvided(name)
