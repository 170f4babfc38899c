"""Fixtures: the functions of each backend, and those of compiled mmcv where it is installed."""

import importlib.machinery
import importlib.util
import sys
from types import SimpleNamespace

import mmcv
import pytest

from rankdet.errors import InputError
from rankdet.ops.extension import Extension, functions_of


def compiled_extension():
    """mmcv's compiled extension, also where another module stands for it; None without one."""
    loaded = sys.modules.get("mmcv._ext")
    if loaded is not None and not isinstance(loaded, Extension):
        return loaded
    spec = importlib.machinery.PathFinder.find_spec("mmcv._ext", mmcv.__path__)
    if spec is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def compiled():
    """The functions of compiled mmcv."""
    found = compiled_extension()
    if found is None:
        pytest.skip("mmcv's compiled extension is not installed: make env OPS=mmcv")
    return found


def backends():
    """The backends of this environment; what is said without torchvision: test_install.py."""
    try:
        functions_of("torchvision")
    except InputError:
        return ["plain"]
    return ["plain", "torchvision"]


@pytest.fixture(params=backends())
def ours(request):
    """The functions of a backend."""
    return SimpleNamespace(**functions_of(request.param))


@pytest.fixture
def through_mmcv(monkeypatch):
    """Make mmcv's Python functions call given functions: ``through_mmcv("nms", functions)``."""

    def use(module, functions):
        monkeypatch.setattr(sys.modules[f"mmcv.ops.{module}"], "ext_module", functions)

    return use
