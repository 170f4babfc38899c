"""Recorded runs of the AP-Loss code base, from anchors to the self-balance."""

import json

import numpy as np
import pytest

from tests.golden import replay_ap_code
from tests.golden.ap_code.cases import golden_folder, read_cases, replay

CASES = read_cases(golden_folder())


def test_no_case_is_missing():
    assert len(CASES) >= 25


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    assert replay(case).problems == []


@pytest.fixture
def only(tmp_path):
    """Return a function that puts one case alone, its arrays changed, into a directory."""

    def prepare(name, change=lambda arrays: None):
        source = golden_folder()
        manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
        manifest["cases"] = {name: manifest["cases"][name]}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        with np.load(source / f"{name}.npz") as archive:
            arrays = dict(archive)
        change(arrays)
        np.savez(tmp_path / f"{name}.npz", **arrays)
        return str(tmp_path)

    return prepare


def test_the_command_prints_the_sum(only, capsys):
    assert replay_ap_code.main([only("loss_no_boxes")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("agrees loss_no_boxes")
    assert printed[-1] == "1 of 1 agree"


def scaled(name, factor):
    return lambda arrays: arrays.update({name: arrays[name] * factor})


def shifted(name, place, by):
    def change(arrays):
        arrays[name] = arrays[name].copy()
        arrays[name][place] += by

    return change


MISSES = {
    "anchors_atss": shifted("base_0", (0, 0), 1e-8),
    "annotations": shifted("boxes", (0, 2), 1.0),
    "assign_crowded": shifted("label_iou", (0, 0), 1),
    "boxes": scaled("e_giou", 1 + 1e-9),
    "decode_few": shifted("ae_bbox_xywh", (0, 2), 1e-4),
    "loss_three_images": scaled("ae_alrp.grad_reg", 1 + 1e-4),
    "loss_three_images_atss": shifted("label", (0, 0), 1),
    "preprocess_0": shifted("500_r101.row", (0, 5), 2e-3),
    "selfbalance": shifted("weight_used", 3, 1e-6),
}


@pytest.mark.parametrize("name", MISSES)
def test_a_wrong_number_is_a_miss(name, only, capsys):
    assert replay_ap_code.main([only(name, MISSES[name])]) == 1
    printed = capsys.readouterr().out
    assert f"MISS   {name}" in printed
    assert "0 of 1 agree" in printed


def test_a_missing_array_is_a_miss(only, capsys):
    assert replay_ap_code.main([only("decode_few", lambda arrays: arrays.pop("cls_level0"))]) == 1
    assert "KeyError" in capsys.readouterr().out


def test_a_missing_directory_is_named(tmp_path, capsys):
    assert replay_ap_code.main([str(tmp_path / "nowhere")]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_the_committed_copy_is_small():
    files = [*golden_folder().iterdir()]
    assert files and max(path.stat().st_size for path in files) < 1_000_000
