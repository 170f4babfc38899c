"""Recorded runs of the official heads: losses, gradients, targets, boxes after NMS."""

import shutil

import numpy as np
import pytest
import torch

from tests.golden import replay_heads
from tests.golden.heads.cases import golden_folder, read_cases
from tests.golden.heads.registry import is_built, replay

CASES = read_cases(golden_folder())


def test_no_case_is_missing():
    assert len(CASES) >= 152


@pytest.mark.parametrize("case", [*filter(is_built, CASES)], ids=lambda case: case.name)
def test_case(case):
    check = replay(case)
    assert not check.problems


@pytest.fixture
def one_case(tmp_path):
    """A folder that holds the manifest and the arrays of one case only."""
    name = "rs.rpn_trained"
    source = golden_folder()
    shutil.copy(source / "manifest.json", tmp_path)
    shutil.copy(source / f"{name}.npz", tmp_path / f"{name}.npz")
    return tmp_path, name


def test_the_replay_prints_a_line_per_head_and_the_sum(one_case, capsys):
    folder, name = one_case
    assert replay_heads.main([str(folder), "--only", name]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("rs.rpn ")
    assert printed[-1] == "1 of 1 agree"


@pytest.mark.parametrize("damage", ["out.loss.loss_rpn_rank", "out.grad_cls_score_1"])
def test_a_miss_fails_the_replay(one_case, damage, capsys):
    folder, name = one_case
    file = folder / f"{name}.npz"
    file.chmod(0o644)
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays[damage] = arrays[damage] * 1.001
    np.savez(file, **arrays)
    assert replay_heads.main([str(folder), "--only", name]) == 1
    assert "0 of 1 agree" in capsys.readouterr().out


def test_an_exception_is_a_miss(one_case, capsys):
    folder, name = one_case
    (folder / f"{name}.npz").unlink()
    assert replay_heads.main([str(folder), "--only", name]) == 1
    assert "FileNotFoundError" in capsys.readouterr().out


def test_replays_are_single_precision():
    """The recorded numbers are float32; so are the inputs that the heads see."""
    case = next(case for case in CASES if case.name == "rs.rpn_trained")
    assert {tensor.dtype for tensor in case.tensors("cls_score")} == {torch.float32}
