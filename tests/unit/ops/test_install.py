"""install() and in_use(), each in a process of its own, because mmcv is imported once."""

import os
import subprocess
import sys

import pytest

from tests.unit.ops.conftest import compiled_extension

PLAIN, COMPILED = "rankdet (plain PyTorch)", "mmcv (compiled)"
# Without a compiler's extension: Python's own finder does not see it.
HIDDEN = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name == "mmcv._ext" else find(name, *rest)
)
"""
NMS = "import torch; from mmcv.ops import nms; nms(torch.rand(3, 4), torch.rand(3), 0.5)\n"


def run(code, operators=None, hidden=False):
    """Run lines of Python; return the last line that they print, also of an error."""
    environment = {name: value for name, value in os.environ.items() if name != "RANKDET_OPS"}
    environment["CUDA_VISIBLE_DEVICES"] = ""  # the default depends on a GPU
    if operators is not None:
        environment["RANKDET_OPS"] = operators
    command = [sys.executable, "-W", "ignore", "-c", (HIDDEN if hidden else "") + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1]


USE = "import rankdet.ops as ops; ops.install(); " + NMS + "print(ops.in_use())"


def test_without_a_compiled_extension_it_is_put_in_place():
    assert run(USE, hidden=True) == PLAIN


def test_a_compiled_extension_is_left_in_place():
    if compiled_extension() is None:
        pytest.skip("mmcv's compiled extension is not installed: make env OPS=mmcv")
    assert run(USE) == COMPILED
    assert run(USE, "mmcv") == COMPILED
    assert run(USE, "") == COMPILED


def test_it_is_used_where_it_is_asked_for():
    """By the variable, by the argument, and the argument decides."""
    assert run(USE, "plain") == PLAIN
    assert run(USE.replace("install()", "install('plain')")) == PLAIN
    assert run(USE.replace("install()", "install('plain')"), "mmcv") == PLAIN


def test_the_name_is_known_before_mmcvs_operators_are_imported():
    code = "import sys, rankdet.ops as ops; ops.install()\n"
    code += "print(ops.in_use(), 'mmcv.ops' in sys.modules)"
    assert run(code, "plain") == f"{PLAIN} False"


def test_installing_imports_neither_torch_nor_mmcv():
    code = (
        "import sys, rankdet.ops as ops; ops.install(); print({'torch', 'mmcv'} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_installing_again_changes_nothing():
    code = "import sys, rankdet.ops as ops; [ops.install() for _ in range(3)]\n"
    count = "print(sum(type(each).__module__ == 'rankdet.ops' for each in sys.meta_path))"
    assert run(code + count) == "1"
    again = "ops.install('plain'); ops.install(); " + NMS + "print(ops.in_use())"
    assert run("import rankdet.ops as ops; " + again) == PLAIN


@pytest.mark.parametrize("module", ["rankdet.models", "rankdet.training.runner"])
def test_our_modules_install_it(module):
    code = f"import {module}, rankdet.ops as ops; {NMS}print(ops.in_use())"
    assert run(code, hidden=True) == PLAIN


def test_a_script_installs_it_before_it_imports_mmdet():
    code = "import rankdet.ops; rankdet.ops.install(); import mmdet.models; import mmdet.datasets\n"
    assert run(code + "print(rankdet.ops.in_use())", hidden=True) == PLAIN


def test_import_and_attribute_are_the_same_module():
    code = "import rankdet.ops; rankdet.ops.install('plain'); import sys, mmcv._ext as one, mmcv\n"
    assert run(code + "print(one is mmcv._ext is sys.modules['mmcv._ext'])") == "True"


def test_mmcv_is_left_alone_where_that_is_asked_for():
    assert "No module named 'mmcv._ext'" in run(USE, "mmcv", hidden=True)
    code = "import rankdet.ops as ops; ops.install(); ops.in_use()"
    assert "expected operators for mmcv; got none" in run(code, "mmcv", hidden=True)
    assert "expected operators for mmcv; got none" in run(code.replace("ops.install();", ""),
                                                          hidden=True)  # fmt: skip


def test_an_unknown_backend_is_named():
    assert "plain, torchvision, mmcv; got 'fast'" in run(USE, "fast")


def test_operators_that_are_in_use_are_not_exchanged():
    first = "import rankdet.ops as ops; ops.install('plain'); " + NMS
    found = run(first + "ops.install('mmcv')")
    assert "before mmcv.ops and mmdet are imported" in found
    assert run(first + "ops.install('plain'); print(ops.in_use())") == PLAIN


def test_torchvision_where_it_is_installed():
    found = run(USE, "torchvision")
    try:
        import torchvision  # noqa: F401
    except ImportError:
        assert "expected torchvision for this torch" in found
    else:
        assert found == "rankdet (torchvision)"
