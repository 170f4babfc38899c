"""The module that stands for mmcv._ext: every name, mmcv's arguments, one clear error."""

import inspect
import re
from pathlib import Path

import mmcv
import pytest
import torch

from rankdet.ops.extension import ABOUT, PLAIN, Extension, OperatorNotProvided


@pytest.fixture
def extension():
    return Extension("mmcv._ext", "plain")


def names_that_mmcv_asks_for():
    """The names in each ``load_ext('_ext', [...])``."""
    text = "".join(path.read_text() for path in Path(mmcv.__path__[0], "ops").glob("*.py"))
    lists = re.findall(r"load_ext\(\s*'_ext',\s*\[(.*?)\]", text, re.DOTALL)
    return {name for each in lists for name in re.findall(r"'(\w+)'", each)}


def test_it_has_every_name_that_mmcv_asks_for(extension):
    names = names_that_mmcv_asks_for()
    assert len(names) > 100 and names > PLAIN.keys() | ABOUT.keys()
    assert all(callable(getattr(extension, name)) for name in names)


def test_it_does_not_pretend_to_have_what_modules_may_lack(extension):
    assert not hasattr(extension, "__path__") and not hasattr(extension, "__file__")


@pytest.mark.parametrize("name", ["roi_pool_forward", "softnms", "ms_deform_attn_forward"])
def test_what_is_not_provided_says_so_when_it_is_called(extension, name):
    with pytest.raises(OperatorNotProvided, match=rf"'{name}'.*make env OPS=mmcv") as caught:
        getattr(extension, name)(torch.zeros(1), option=2)
    assert isinstance(caught.value, RuntimeError) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_arguments_are_compiled_mmcvs(ours, compiled, name):
    said = getattr(compiled, name).__doc__.splitlines()[0]
    wanted = re.findall(r"(\w+): ", said)
    assert wanted and list(inspect.signature(getattr(ours, name)).parameters) == wanted


def test_what_it_was_compiled_with(extension):
    assert "rankdet" in extension.get_compiler_version()
    assert extension.get_compiling_cuda_version() == "not available"
