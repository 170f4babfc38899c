"""The official outputs of every loss, all cases, from float64 and from float32 logits."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.golden import replay_losses as replay


def golden_folder() -> Path:
    here = Path(__file__).parent / "data/losses"
    if os.environ.get("RANKDET_GOLDEN"):
        return Path(os.environ["RANKDET_GOLDEN"]) / "losses"
    return here if here.is_dir() else Path(__file__).parents[3] / "shared/golden/losses"


FOLDER = golden_folder()
VARIANTS = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["variants"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_case(variant):
    results = [each for each in replay.replay(FOLDER, variant) if each.variant == variant]
    assert len(results) == len(VARIANTS[variant]["cases"])
    assert [(each.case, each.problems) for each in results if each.problems] == []


def test_the_command_prints_the_count(capsys):
    assert replay.main([str(FOLDER), "--variant", "ap_original"]) == 0
    assert capsys.readouterr().out.strip() == "22 of 22 agree"


def test_a_wrong_number_is_a_miss(tmp_path, capsys):
    manifest = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    manifest["variants"] = {"ap_d1": manifest["variants"]["ap_d1"]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (tmp_path / "inputs.npz").write_bytes((FOLDER / "inputs.npz").read_bytes())
    stored = dict(np.load(FOLDER / "ap_d1.npz"))
    stored["c05_mid/f64/grad_neg"] = stored["c05_mid/f64/grad_neg"] * (1 + 2e-5)
    np.savez(tmp_path / "ap_d1.npz", **stored)
    assert replay.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "21 of 22 agree" in printed
    assert "MISS ap_d1 c05_mid: f64 grad_neg" in printed


def test_a_missing_directory_is_named(tmp_path, capsys):
    assert replay.main([str(tmp_path / "nowhere")]) == 2
    assert "manifest.json" in capsys.readouterr().out
