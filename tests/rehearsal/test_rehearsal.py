"""Preset paper from start to end: official schedule, pipelines, sampler, optimizer, hooks, loop."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS
from rankdet.datasets.drawn import prepare_drawn
from rankdet.evaluation import evaluate, read_ground_truth
from rankdet.training.predict import predict
from rankdet.training.run import Settings, train
from tests.rehearsal.kinds import KINDS

ROWS = [entry.entry_id for entry in load_catalogue() if entry.config_path.exists()]
REHEARSAL = PRESETS["rehearsal"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return the drawn set that a row's data set stands for."""
    folder = tmp_path_factory.mktemp("drawn")
    return lambda entry: prepare_drawn(folder / entry.dataset, entry.dataset)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_training(out, entry):
    """Check what a training leaves."""
    record = json.loads((out / "run.json").read_text())
    steps = [row for row in lines_of(out / "training.jsonl") if "lr" in row]
    assert len(steps) == record["iterations"] >= 2
    assert all(math.isfinite(row["loss"]) for row in steps)
    assert any("oLRP" in row for row in lines_of(out / "training.jsonl"))  # it was validated
    official = entry.official
    assert record["batch_size"] == (official.total_batch or record["batch_size"])
    assert record["start_weights"]
    # The warm-up of the official run: its first step, counted from 0, has the share that it names.
    share, rate = official.schedule.warmup.ratio, official.schedule.optimizer.lr
    assert steps[0]["lr"] == pytest.approx(rate * share, rel=1e-6)
    # The second step is that of the second epoch.
    cosine = (1 + math.cos(math.pi / official.epochs)) / 2
    rate *= cosine if official.schedule.policy.type == "CosineAnnealing" else 1
    assert steps[1]["lr"] == pytest.approx(rate * (share + (1 - share) / 500), rel=1e-6)
    return record


def rehearse(entry, data, folder):
    """Train, predict and evaluate in this process."""
    out, work = folder / "out", folder / "work"
    record = train(
        entry.entry_id, REHEARSAL, data, work, out / "checkpoint.pth", Settings(threads=1)
    )
    assert record == check_training(out, entry)
    detections = out / "detections.json"
    predict(entry.entry_id, REHEARSAL, data, out / "checkpoint.pth", detections, work, threads=1)
    for kind in entry.iou_types:
        truth = read_ground_truth(data.annotations("val"), (kind,), protocol=data.format)
        numbers = evaluate(truth, json.loads(detections.read_text()), kind).numbers
        assert 0 <= numbers["AP"] <= 1 and 0 <= numbers["oLRP"] <= 1


# Minutes each: masks of large images, 1203 classes, three stages. Shorter trainings of their kind
# are in tests/reliability and tests/smoke.
LONG = ("rs_mask_r50_lvis", "rs_solov2_r34_light", "rs_cascade_r50", "ext_br_brs_mask_r50_city")


def each_kind(light):
    """Run a test with the row of each kind; those that are not in ``light`` are heavy."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=[] if name in light else pytest.mark.heavy, id=kind)
            for kind, name in KINDS.items()
        ],
    )


@each_kind(light=set(KINDS.values()) - set(LONG))
def test_a_row_of_each_kind(name, drawn, tmp_path):
    entry = load_catalogue()[name]
    rehearse(entry, drawn(entry), tmp_path)


def launched(name, data, folder, *options):
    """Train through the command, as the workflow does."""
    run = subprocess.run(
        [
            *(Path(sys.executable).with_name("rankdet"), "train", name, "--preset", "rehearsal"),
            *("--data", str(data.folder / "dataset.json"), "--work-dir", str(folder / "work")),
            *("--out", str(folder / "out" / "checkpoint.pth"), "--threads", "1", *options),
        ],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return check_training(folder / "out", load_catalogue()[name])


SHARED = ("ext_alrp_ap_r50_500", "alrp_mmdet_alrp_frcnn_r50_500", "rs_atss_r50")


@each_kind(light=SHARED)
def test_two_processes_with_two_passes_of_each_kind(name, drawn, tmp_path):
    data = drawn(load_catalogue()[name])
    record = launched(name, data, tmp_path, "--processes", "2", "--passes", "2")
    assert (record["processes"], record["passes"]) == (2, 2)


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name in ROWS if name not in KINDS.values()])
def test_every_other_row(name, drawn, tmp_path):
    entry = load_catalogue()[name]
    rehearse(entry, drawn(entry), tmp_path)


def test_training_starts_from_the_weights_in_the_file(drawn, tmp_path):
    """The stem is frozen: it is still what the file held."""
    entry = load_catalogue()["rs_atss_r50"]
    out, work = tmp_path / "out", tmp_path / "work"
    train(
        entry.entry_id, REHEARSAL, drawn(entry), work, out / "checkpoint.pth", Settings(threads=1)
    )
    (path,) = work.glob("drawn-*.pth")
    held = torch.load(path, weights_only=True)
    found = torch.load(out / "checkpoint.pth", weights_only=True)["state_dict"]
    for name in ("conv1.weight", "layer1.0.conv2.weight", "layer4.2.bn3.running_var"):
        assert torch.equal(found[f"backbone.{name}"], held[name])
    assert not torch.equal(found["backbone.layer4.2.conv3.weight"], held["layer4.2.conv3.weight"])
