"""What a user is told who lacks a package or has another version; torch only."""

import importlib
import subprocess
import sys
import types
import warnings

import pytest

from rankdet.adapters._packages import TESTED, require, version_of


@pytest.fixture(params=TESTED, ids=str)
def name(request):
    return request.param


def test_a_missing_package_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)  # importing it fails
    monkeypatch.delitem(sys.modules, f"rankdet.adapters.{name}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'rankdet\[{name}\]'") as caught:
        importlib.import_module(f"rankdet.adapters.{name}")
    assert caught.value.name == name


@pytest.mark.parametrize("broken", ["0.1", "99.0.0.dev0", "unknown"])
def test_another_version_is_a_warning_with_the_range(name, broken, monkeypatch):
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(__version__=broken))
    first, below = TESTED[name]
    with pytest.warns(UserWarning, match=f"{name} >= {first}, < {below}; this is {broken}"):
        require(name)


def test_a_tested_version_is_no_warning(name, monkeypatch):
    own = types.SimpleNamespace(__version__=f"{TESTED[name][0]}.9+cpu")
    monkeypatch.setitem(sys.modules, name, own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert require(name) is own


def test_versions():
    assert version_of("0.29.1+cu130") == (0, 29, 1)
    assert version_of("5.24.0.dev0") == (5, 24, 0)
    assert version_of("main") == ()


def test_the_losses_import_no_package():
    code = (
        "import sys, rankdet.losses, rankdet.adapters, rankdet.adapters._terms;"
        "print([m for m in ('torchvision', 'transformers', 'mmdet') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
