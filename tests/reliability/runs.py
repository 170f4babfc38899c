"""Small trainings of real rows by epochs, whose state is known after every step."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import Preset
from rankdet.datasets.drawn import prepare_drawn
from rankdet.training import run as run_module
from rankdet.training.interruption import Interrupted
from rankdet.training.record import TrainingRecord
from rankdet.training.run import Settings, train

EPOCHS = 4
# The row's own pipelines, sampler, schedule and loop; small sizes and a small network.
PRESET = Preset(
    "rehearsal",
    "for this test",
    "drawn",
    batch_size=2,
    small_network=True,
    shrink=16,
    epochs=EPOCHS,
)
ROWS = {
    "aLRP RetinaNet": "alrp_mmdet_alrp_retinanet_r50_500",
    "Rank & Sort, two stages": "rs_mask_r50",
    "AP-Loss code base": "ext_alrp_ap_r50_500",
    "LVIS, repeat factors": "rs_mask_r50_lvis",
}


# mmengine formats its config as source text several times a training, 1.5 s each.
Config.pretty_text = property(lambda config: repr(config.to_dict()))


def data_of(entry_id: str, folder: Path):
    """Return the drawn data set that stands for the row's."""
    dataset = load_catalogue()[entry_id].dataset
    return prepare_drawn(folder / dataset, dataset)


@contextmanager
def gentle_rate(rate: float = 1e-4) -> Iterator[None]:
    """Let the rows start from scratch without a jump."""
    own = run_module.resolve

    def resolve(*arguments: Any) -> Any:
        config = own(*arguments)
        config.optim_wrapper.optimizer.lr = rate
        return config

    run_module.resolve = resolve
    try:
        yield
    finally:
        run_module.resolve = own


@contextmanager
def after_each_step(call: Callable[[Any], None]) -> Iterator[None]:
    """Call ``call(runner)`` when a step's line of the record is written."""
    own = TrainingRecord.after_train_iter

    def after(self: Any, runner: Any, *arguments: Any, **named: Any) -> None:
        own(self, runner, *arguments, **named)
        call(runner)

    TrainingRecord.after_train_iter = after
    try:
        yield
    finally:
        TrainingRecord.after_train_iter = own


def state_of(runner: Any) -> str:
    """Return a hash of weights, balance, optimizer, schedules and random numbers."""
    digest = hashlib.sha256()
    model = getattr(runner.model, "module", runner.model)
    parts = {
        "model": model.state_dict(),
        "optimizer": runner.optim_wrapper.state_dict(),
        "schedules": [each.state_dict() for each in runner.param_schedulers],
        "torch": torch.get_rng_state(),
        "numpy": [repr(np.random.get_state())],
        "python": [repr(random.getstate())],
    }
    for name, value in leaves(parts, ""):
        digest.update(name.encode())
        is_tensor = isinstance(value, torch.Tensor)
        digest.update(value.numpy().tobytes() if is_tensor else repr(value).encode())
    return digest.hexdigest()


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a nested state with its name."""
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for key, each in enumerate(value):
            yield from leaves(each, f"{name}.{key}")
    else:
        yield name, value


def record_of(out: Path) -> list[dict]:
    """Return the lines of ``training.jsonl`` without times."""
    rows = map(json.loads, (out / "training.jsonl").read_text().splitlines())
    return [{key: value for key, value in row.items() if key != "time"} for row in rows]


def whole_run(entry_id: str, data: Any, folder: Path, workers: int, preset: Preset = PRESET):
    """Train without a stop; return the state after each iteration, and the record."""
    states: dict[int, str] = {}
    with after_each_step(lambda runner: states.update({runner.iter + 1: state_of(runner)})):
        train(
            *(entry_id, preset, data, folder / "work", folder / "out" / "checkpoint.pth"),
            settings=Settings(threads=1, workers=workers),
        )
    return states, record_of(folder / "out")


def stopped_run(
    *arguments: Any, stops: list[int], workers: int, preset: Preset = PRESET
) -> tuple[dict[int, list[str]], list[dict], dict]:
    """Train with a SIGTERM after each of ``stops``, resumed each time.

    Returns:
        The states after each iteration, as often as it was made; the record; run.json.
    """
    entry_id, data, folder = arguments
    states: dict[int, list[str]] = {}
    left = sorted(stops)

    def after(runner: Any) -> None:
        states.setdefault(runner.iter + 1, []).append(state_of(runner))
        if left and runner.iter + 1 == left[0]:
            left.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)

    out = folder / "out" / "checkpoint.pth"
    with after_each_step(after):
        for session in range(len(stops) + 1):
            try:
                record = train(
                    *(entry_id, preset, data, folder / "work", out),
                    settings=Settings(threads=1, workers=workers, resume=session > 0),
                )
            except Interrupted:
                continue
    assert not left
    return states, record_of(out.parent), record
