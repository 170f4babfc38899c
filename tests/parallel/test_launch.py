"""`rankdet train --processes 2`: one launcher, one record, the loss of the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankdet.datasets.digits import prepare_digits


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 6, 2)


def train(digits, folder, *options):
    command = [Path(sys.executable).parent / "rankdet", "train", "rs_atss_r50"]
    command += ["--preset", "smoke", "--data", digits.folder, "--threads", "2"]
    command += ["--work-dir", folder / "work", "--out", folder / "out" / "checkpoint.pth"]
    command += ["--log", folder / "log", *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    return subprocess.run(command, text=True, capture_output=True, env=environment, timeout=400)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "out" / "training.jsonl").open()]


def test_two_processes_and_two_passes_train_as_one(digits, tmp_path):
    for name, processes, passes in (("one", 1, 1), ("processes", 2, 1), ("passes", 1, 2)):
        options = ["--processes", str(processes), "--passes", str(passes)]
        run = train(digits, tmp_path / name, *options)
        assert run.returncode == 0, run.stderr
        record = json.loads((tmp_path / name / "out" / "run.json").read_text())
        found = (record["processes"], record["passes"], record["batch_size"])
        assert found == (processes, passes, 2)
        assert not (tmp_path / name / "work" / "running.json").exists()
    # Preset smoke starts from nothing and so learns batch statistics, of which each process and
    # pass has its own; all the rest is the same (test_pools.py and test_passes.py have them fixed).
    expected = pytest.approx(losses(tmp_path / "one"), rel=0.02)
    assert losses(tmp_path / "processes") == expected
    assert losses(tmp_path / "passes") == expected


def test_a_pool_is_not_cut_into_passes(digits, tmp_path):
    run = train(digits, tmp_path, "--passes", "4")
    assert run.returncode == 2
    assert "1 or 2 processes times passes for 2 images per step" in run.stderr.replace("\n", " ")
    assert not (tmp_path / "out").exists()
