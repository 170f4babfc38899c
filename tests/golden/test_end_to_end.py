"""Recorded official runs: settings, learning rates, train steps, data, detections.

The committed copy is a part of the recordings (tests.golden.end_to_end.trim); detections and
pipelines are of real COCO images, which it does not hold, and run where those are.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_tools

from tests.golden import replay_end_to_end
from tests.golden.end_to_end.cases import HERE, coco_folder, read_cases
from tests.golden.end_to_end.detections import compare_image
from tests.golden.end_to_end.jobs import jobs
from tests.golden.end_to_end.part import Part

# A part of a minute or more each, on one core.
HEAVY = (
    *("rs_mask_r50_lvis.traj", "rs_mask_r50.traj", "rs_frcnn_plus_r50.traj"),
    *("rs_solov2_r34_light.traj", ".detections"),
)
LIGHT = "rs_atss_r50.detections"
NAMES = [job.name for job in jobs(HERE, coco_folder(), Path(), quick=True)]
SMALL = "alrp_mmdet_alrp_fovea_r50_500"


def marked(name):
    heavy = name != LIGHT and any(part in name for part in HEAVY)
    return pytest.param(name, marks=[pytest.mark.heavy] if heavy else [])


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Checkpoints and manifests, made once."""
    torch.set_num_threads(1)
    return tmp_path_factory.mktemp("end_to_end")


@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
def test_part(name, work):
    job = next(job for job in jobs(HERE, coco_folder(), work, quick=True) if job.name == name)
    parts = job.run()
    assert not [problem for part in parts for problem in part.problems]
    if all(part.skipped for part in parts):
        pytest.skip(parts[0].skipped)


def test_no_recording_is_missing():
    assert len(read_cases(HERE)) >= 9
    assert sum(not case.lacks("batches.npz", "weights_extra.npz") for case in read_cases(HERE)) >= 6
    for kind in ("lr_official.", "lvis_official", "props_rs_mask_r50", "pipeline_"):
        assert any(name.startswith(kind) for name in NAMES)


@pytest.fixture
def folder(tmp_path):
    """A folder of recordings with the loose files and the smallest case, one iteration long."""
    for path in HERE.iterdir():
        if path.is_file():
            shutil.copyfile(path, tmp_path / path.name)
    shutil.copytree(HERE / SMALL, tmp_path / SMALL)
    change_json(tmp_path / SMALL / "trajectory.json", lambda steps: steps[:1])
    return tmp_path


def change_json(path, change):
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def change_arrays(path, change):
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, **arrays)


def replayed(folder, only, capsys):
    """Return exit status and printed lines of a replay."""
    status = replay_end_to_end.main([str(folder), "--only", only, "--quick"])
    return status, capsys.readouterr().out.splitlines()


def test_the_replay_prints_a_line_per_part_and_the_sum(folder, capsys):
    status, lines = replayed(folder, f"{SMALL}.s", capsys)
    assert status == 0
    assert [line.split()[1:3] for line in lines[:2]] == [
        ["setup", "agrees"],
        ["schedule", "agrees"],
    ]
    assert lines[-1] == "2 of 2 agree"


def test_a_folder_without_parts_does_not_agree(tmp_path, capsys):
    assert replayed(tmp_path, "", capsys) == (1, ["0 of 0 agree"])


def test_an_undamaged_step_agrees(folder, capsys):
    status, lines = replayed(folder, f"{SMALL}.trajectory", capsys)
    assert (status, lines[-1]) == (0, "1 of 1 agree")


def test_a_changed_loss_is_a_miss(folder, capsys):
    def change(steps):
        steps[0]["losses"]["loss_bbox"] *= 1 + 1e-4
        return steps

    change_json(folder / SMALL / "trajectory.json", change)
    status, lines = replayed(folder, f"{SMALL}.trajectory", capsys)
    assert (status, lines[-1]) == (1, "0 of 1 agree")
    assert "loss_bbox" in lines[1]


def test_a_changed_pixel_is_a_miss(folder, capsys):
    def change(arrays):
        arrays["b0_i0_raw"][100, 100] = 255 - arrays["b0_i0_raw"][100, 100]

    change_arrays(folder / SMALL / "batches.npz", change)
    status, lines = replayed(folder, f"{SMALL}.trajectory", capsys)
    assert (status, lines[-1]) == (1, "0 of 1 agree")


def test_a_changed_setting_is_a_miss(folder, capsys):
    def change(setup):
        setup["optimizer"]["momentum"] = 0.95
        setup["requires_grad"] = setup["requires_grad"][1:]
        return setup

    change_json(folder / SMALL / "setup.json", change)
    status, lines = replayed(folder, f"{SMALL}.setup", capsys)
    assert (status, lines[-1]) == (1, "0 of 1 agree")
    assert "momentum" in lines[1]
    assert "trained here only: 1" in lines[2]


@pytest.mark.parametrize("place", [0, 300, -1])
def test_a_changed_learning_rate_is_a_miss(folder, place, capsys):
    def change(rates):
        rates["rs_atss_r50"][place][1] *= 1 + 1e-9
        return rates

    change_json(folder / "lr_official.json", change)
    status, lines = replayed(folder, "lr_official.rs_atss_r50", capsys)
    assert (status, lines[-1]) == (1, "0 of 1 agree")


@pytest.mark.parametrize("name", ["ids", "factors", "epoch", "files", "classes"])
def test_changed_lvis_data_are_a_miss(folder, name, capsys):
    def change(record):
        first, other = record[name][0], next(v for v in record[name] if v != record[name][0])
        record[name][0] = f"{first}_" if isinstance(first, str) else other
        return record

    change_json(folder / "lvis_official.json", change)
    assert replayed(folder, "lvis_official", capsys)[0] == 1


def test_a_changed_roi_is_a_miss(folder, capsys):
    shutil.copytree(HERE / "rs_mask_r50", folder / "rs_mask_r50")

    def change(arrays):
        arrays["rois0"][3, 2] += 0.1

    change_arrays(folder / "props_rs_mask_r50.npz", change)
    status, lines = replayed(folder, "props_rs_mask_r50.samples", capsys)
    assert (status, lines[-1]) == (1, "0 of 1 agree")


def test_an_exception_is_a_miss(folder, capsys):
    (folder / SMALL / "batches.npz").write_bytes(b"no archive")
    status, lines = replayed(folder, f"{SMALL}.trajectory", capsys)
    assert (status, lines[-1]) == (1, "0 of 1 agree")
    assert "Error" in lines[1]


def test_a_missing_file_skips_its_part_with_the_reason(folder, capsys):
    for name in ("batches.npz", "image_ids.json"):
        (folder / SMALL / name).unlink()
    status, lines = replayed(folder, SMALL + ".", capsys)
    assert status == 0
    assert any("skipped: no batches.npz" in line for line in lines)


@pytest.mark.skipif(coco_folder() is None, reason="no real images: set RANKDET_DATA")
@pytest.mark.parametrize(
    ("file", "array"),
    [("pipeline_rs", "det_f0_0_img_every16"), ("pipeline_alrp", "Expand_0_1_sub")],
)
def test_a_changed_pixel_of_a_pipeline_is_a_miss(folder, file, array, capsys):
    def change(arrays):
        arrays[array][10, 10] += 1

    change_arrays(folder / f"{file}.npz", change)
    status, lines = replayed(folder, file, capsys)
    assert status == 1
    assert any("pixels off by 1 of 255" in line for line in lines)


def rows(count=3):
    """Detections of one image: boxes of 20 x 30 pixels in a row, with their masks."""
    found = []
    for i in range(count):
        mask = np.zeros((100, 200), np.uint8, order="F")
        mask[10:40, 40 * i : 40 * i + 20] = 1
        rle = mask_tools.encode(mask)
        box = [40.0 * i, 10.0, 20.0, 30.0]
        row = dict(image_id=1, category_id=5, score=0.9 - 0.1 * i, bbox=box)
        found.append(
            row | {"segmentation": {"size": rle["size"], "counts": rle["counts"].decode()}}
        )
    return found


def compared(ours, official, kind="segm", limits=(100, 0.5)):
    part = Part("case", "detections")
    compare_image(part, "image 1", kind, ours, official, limits)
    return part


def test_equal_detections_agree_in_any_order():
    part = compared(rows()[::-1], rows())
    assert part.agrees
    assert part.measured["box px"] == part.measured["mask 1-IoU"] == 0


@pytest.mark.parametrize(
    "change",
    [
        dict(bbox=[40.02, 10.0, 20.0, 30.0]),
        dict(score=0.8002),
        dict(category_id=6),
        dict(segmentation=rows()[2]["segmentation"]),
    ],
)
def test_a_changed_detection_is_a_miss(change):
    official = rows()
    official[1] |= change
    assert not compared(rows(), official).agrees


@pytest.mark.parametrize(
    ("change", "derived", "agrees"), [(2e-4, False, False), (5e-4, True, True), (2e-3, True, False)]
)
def test_a_pixel_at_the_threshold_moves_only_scores_of_masks(change, derived, agrees):
    ours, official = rows(), rows()
    official[1] |= dict(score=official[1]["score"] - change)
    ours = [row | {"derived": True} for row in ours] if derived else ours
    assert compared(ours, official).agrees is agrees


def test_a_missing_or_doubled_detection_is_a_miss():
    assert not compared(rows()[:2], rows()).agrees
    assert not compared([*rows(), rows()[0]], rows()).agrees


def test_only_equal_scores_at_the_cut_are_a_tie():
    ours, official = rows(), rows()
    ours[2] |= dict(bbox=[150.0, 50.0, 20.0, 30.0])
    assert compared(ours, official, "bbox", limits=(3, 0.5)).agrees
    assert not compared(ours, official, "bbox", limits=(4, 0.5)).agrees
    ours[2] |= dict(score=0.71)
    assert not compared(ours, official, "bbox", limits=(3, 0.5)).agrees
