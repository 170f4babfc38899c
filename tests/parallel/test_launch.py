"""`rankdet train --processes 2`: one launcher, one record, the loss of the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rankdet.data.digits import prepare_digits


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


def test_two_processes_train_as_one(digits, tmp_path):
    for count in ("1", "2"):
        run = train(digits, tmp_path / count, "--processes", count)
        assert run.returncode == 0, run.stderr
        record = json.loads((tmp_path / count / "out" / "run.json").read_text())
        assert (record["processes"], record["batch_size"]) == (int(count), 2)
        assert not (tmp_path / count / "work" / "running.json").exists()
    # Preset smoke starts from nothing and so learns batch statistics, of which each process has its
    # own; all the rest is the same (tests/parallel/test_pools.py has them fixed).
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=0.02)
