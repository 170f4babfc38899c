"""Every row that has a config, under preset smoke: builds at full width, trains, predicts.

All rows run in this one process, without checkpoints; the way over the command line and the files
is tested on single rows (tests/unit/training, tests/workflow), and on all of them by the target
`smoke` of the workflow.
"""

import gc
import json
import math

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import PRESETS
from rankdet.datasets.digits import prepare_digits
from rankdet.evaluation import evaluate, read_ground_truth
from rankdet.training.resolve import resolve
from rankdet.training.runner import prepare_runner, use_threads

ENTRIES = [entry for entry in load_catalogue() if entry.config_path.exists()]


class Losses(Hook):
    """Keeps the loss terms of every step."""

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.steps.append({name: float(value.detach()) for name, value in outputs.items()})


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 4, 2)


@pytest.fixture(autouse=True)
def without_overhead(monkeypatch):
    """Half of the time of such a short run goes into formatting its config and collecting garbage.

    A runner, with its model and optimiser, is a cycle: it is collected once, after the row.
    """
    with monkeypatch.context() as patch:
        patch.setattr(Config, "pretty_text", property(str))
        patch.setattr("gc.collect", lambda *_: 0)
        yield
    gc.collect()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.entry_id)
def test_row(entry, digits, tmp_path):
    preset = PRESETS["smoke"]
    config = resolve(entry.entry_id, preset, digits)
    config.default_hooks = dict(checkpoint=None, logger=None)
    config.train_cfg.val_begin = preset.iterations + 1  # measured once, by the test below
    out = tmp_path / "detections.json"
    config.test_evaluator.out_file = str(out)
    use_threads(1)
    runner = prepare_runner(config, tmp_path / "work", seed=0, workers=0)
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    metrics = runner.test()

    assert len(losses.steps) == preset.iterations
    assert all(math.isfinite(value) for step in losses.steps for value in step.values())
    assert any(value > 0 for name, value in losses.steps[0].items() if name.startswith("loss"))
    detections = json.loads(out.read_text())
    for iou_type in config.test_evaluator.iou_types:
        truth = read_ground_truth(digits.annotations("val"), (iou_type,))
        numbers = evaluate(truth, detections, iou_type).numbers
        assert 0 <= numbers["AP"] <= 1
        assert numbers["AP"] == pytest.approx(metrics[f"rankdet/{iou_type}/AP"], abs=1e-12)
