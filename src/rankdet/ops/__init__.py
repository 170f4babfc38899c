"""mmcv's operators without its compiled extension, so that mmcv-lite runs every row.

mmcv's Python code calls the functions of a compiled module, ``mmcv._ext``, which mmcv-lite does
not contain; mmdet imports them all. :func:`install` lets ``import mmcv._ext`` find the module of
`rankdet.ops.extension` where there is no compiled one. `rankdet.models` and `rankdet.training`
call it. A script that imports mmdet before them calls it first:

    import rankdet.ops

    rankdet.ops.install()
    from mmdet.apis import init_detector

Operators: NMS, RoIAlign, both deformable convolutions, sigmoid focal loss and CARAFE, in plain
PyTorch on any device, or with torchvision's kernels where they compute the same. Plain ones are
deterministic: no atomic additions of floats. By default torchvision's are used where torchvision
imports and there is a GPU (on a CPU the plain ones are as fast or faster); the environment
variable ``RANKDET_OPS`` decides otherwise. Importing this package imports neither torch nor mmcv.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType

from rankdet.errors import InputError

MODULE = "mmcv._ext"
VARIABLE = "RANKDET_OPS"
COMPILED = "mmcv (compiled)"
NAMES = {"plain": "rankdet (plain PyTorch)", "torchvision": "rankdet (torchvision)"}


def install(backend: str | None = None) -> None:
    """Let ``mmcv._ext`` be rankdet's operators, unless there is a compiled one.

    Call it before `mmcv.ops` or mmdet are imported. It may be called again, and costs nothing: the
    operators are imported with `mmcv.ops`. Which ones they are says :func:`in_use`.

    Args:
        backend: "plain" or "torchvision": these, even where there is a compiled extension; "mmcv":
            mmcv is left as it is. Default: the environment variable RANKDET_OPS, and without it
            what the package says.

    Raises:
        InputError: if the backend is unknown, or others are already in use.
    """
    chosen = backend or os.environ.get(VARIABLE) or None
    if chosen not in (None, "mmcv", *NAMES):
        raise InputError(
            f"operators {', '.join((*NAMES, 'mmcv'))}", repr(chosen), f"set {VARIABLE} to one"
        )
    for finder in [each for each in sys.meta_path if isinstance(each, _Finder)]:
        if backend is None:
            return  # keeps what was chosen before
        sys.meta_path.remove(finder)
    if chosen != "mmcv":
        # At the end of the list it is asked only if no compiled extension was found.
        place = len(sys.meta_path) if chosen is None else 0
        sys.meta_path.insert(place, _Finder(chosen))
    _check_not_other(chosen)


def in_use() -> str:
    """Name the operators of this process: those that `mmcv.ops` uses, or will use.

    Returns:
        "mmcv (compiled)", "rankdet (plain PyTorch)" or "rankdet (torchvision)".

    Raises:
        InputError: if there are none, because :func:`install` was not called.
        ModuleNotFoundError: if there is no mmcv at all.
    """
    found = sys.modules.get(MODULE)
    spec = found.__spec__ if found else importlib.util.find_spec(MODULE)
    if spec is None:
        raise InputError(
            "operators for mmcv", "none", "call rankdet.ops.install(), or make env OPS=mmcv"
        )
    loader = spec.loader
    return NAMES[loader.backend()] if isinstance(loader, _Loader) else COMPILED


def _check_not_other(chosen: str | None) -> None:
    """Raise InputError if other operators than the chosen ones were imported before."""
    if chosen is None or MODULE not in sys.modules:
        return
    wanted, found = NAMES.get(chosen, COMPILED), in_use()
    if wanted != found:
        raise InputError(
            f"{wanted} operators", f"{found} ones, which are in use",
            "call rankdet.ops.install() before mmcv.ops and mmdet are imported",
        )  # fmt: skip


class _Finder(MetaPathFinder):
    """Finds ``mmcv._ext``, and nothing else."""

    def __init__(self, chosen: str | None) -> None:
        self.loader = _Loader(chosen)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != MODULE:
            return None
        return importlib.machinery.ModuleSpec(MODULE, self.loader, origin="rankdet.ops")


class _Loader(Loader):
    """Makes the module; the backend is chosen when it is asked for."""

    def __init__(self, chosen: str | None) -> None:
        self.chosen = chosen

    def backend(self) -> str:
        if self.chosen is None:
            self.chosen = "torchvision" if _has_fast_torchvision() else "plain"
        return self.chosen

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        from rankdet.ops.extension import Extension

        return Extension(spec.name, self.backend())

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


def _has_fast_torchvision() -> bool:
    import torch

    if not torch.cuda.is_available():
        return False
    from rankdet.ops.extension import functions_of

    try:
        functions_of("torchvision")
    except InputError:
        return False
    return True
