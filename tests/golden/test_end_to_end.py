"""Recorded official runs: settings, learning rates, train steps, data, detections.

The committed copy is a part of the recordings (tests.golden.end_to_end.trim); detections and
pipelines are of real COCO images, which it does not hold, and run where those are.
"""

from pathlib import Path

import pytest
import torch

from tests.golden.end_to_end.cases import HERE, coco_folder, read_cases
from tests.golden.end_to_end.jobs import jobs

# Takes part of a minute or more each, on one core.
HEAVY = ("rs_mask_r50_lvis.trajectory", "rs_mask_r50.trajectory", ".detections", "pipeline_")
QUICK_DETECTIONS = "rs_atss_r50.detections"
NAMES = [job.name for job in jobs(HERE, coco_folder(), Path(), quick=True)]


def marked(name):
    heavy = name != QUICK_DETECTIONS and any(part in name for part in HEAVY)
    return pytest.param(name, marks=[pytest.mark.heavy] if heavy else [])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Checkpoints and manifests, made once."""
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("end_to_end")


@pytest.mark.parametrize("name", map(marked, NAMES))
def test_part(name, work):
    job = next(job for job in jobs(HERE, coco_folder(), work, quick=True) if job.name == name)
    parts = job.run()
    if all(part.skipped for part in parts):
        pytest.skip(parts[0].skipped)
    assert not [problem for part in parts for problem in part.problems]


def test_no_recording_is_missing():
    assert len(read_cases(HERE)) >= 9
    assert sum(name.endswith(".trajectory") for name in NAMES) >= 9
    for kind in ("lr_official.", "lvis_official", "props_rs_mask_r50", "pipeline_"):
        assert any(name.startswith(kind) for name in NAMES)
