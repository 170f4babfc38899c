"""Weights on a full disk: the error says so. `test_failed_writes.py` has the other files."""

import errno
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from rankdet.weights import checkpoint_files as checkpoints


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device of Linux")
def test_weights_that_find_no_room(monkeypatch):
    monkeypatch.setattr(checkpoints, "atomic_path", lambda target: nullcontext(Path("/dev/full")))
    with pytest.raises(OSError) as caught:
        checkpoints.write_weights({"weight": torch.zeros(1 << 20)}, "checkpoint.pth", {})
    assert caught.value.errno == errno.ENOSPC
