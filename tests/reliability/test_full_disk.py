"""A full disk is said in one line, and what was there before is there still."""

import errno
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from rankdet.data.digits import prepare_digits
from rankdet.training import checkpoints

TRAIN = """
import errno, rankdet.cli
from mmengine.fileio import LocalBackend

def put(*arguments):
    raise OSError(errno.ENOSPC, "No space left on device")

LocalBackend.put = put
rankdet.cli.main()
"""


def test_a_training_that_finds_no_room_says_so(tmp_path):
    digits = prepare_digits(tmp_path / "digits", 0, 4, 2)
    out = tmp_path / "out" / "checkpoint.pth"
    command = [sys.executable, "-c", TRAIN, "train", "control_atss_r50", "--preset", "demo"]
    command += ["--iterations", "1", "--data", digits.folder, "--out", out]
    command += ["--work-dir", tmp_path / "work", "--log", tmp_path / "log" / "train.log"]
    run = subprocess.run(command, text=True, capture_output=True, check=False)
    last = run.stderr.splitlines()[-1]
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert last.startswith("rankdet: error: [Errno 28] No space left on device; make room")
    assert not out.parent.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device of Linux")
def test_weights_that_find_no_room(monkeypatch):
    monkeypatch.setattr(checkpoints, "atomic_path", lambda target: nullcontext(Path("/dev/full")))
    with pytest.raises(OSError) as caught:
        checkpoints.write_weights({"weight": torch.zeros(1 << 20)}, "checkpoint.pth", {})
    assert caught.value.errno == errno.ENOSPC
