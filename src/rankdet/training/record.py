"""The record of a training, one JSON line per iteration, and its progress on the screen."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop

from rankdet.errors import InputError
from rankdet.outputs import append_line, write_json, write_text
from rankdet.times import utc_now
from rankdet.training.processes import is_first

SCHEDULE = "schedule.json"  # beside the record: the length of the training
VALIDATION_KEYS = ("AP", "AP50", "AP75", "oLRP")


@HOOKS.register_module()
class TrainingRecord(Hook):
    """Append losses and validation figures to ``training.jsonl``; print progress.

    Args:
        path: the JSON-lines file. A resumed run continues it from its own iteration.
        label: prefix of every progress line.
        prints: number of progress lines over the whole training.
    """

    priority = "VERY_LOW"

    def __init__(self, path: str, label: str, prints: int = 10) -> None:
        self.path = Path(path)
        self.label = label
        self.prints = prints
        self._last = time.perf_counter()
        self._start = self._last
        self._first_iteration = 0
        self._rate = 0.0

    def before_train(self, runner) -> None:
        """Drop lines of iterations that a resumed run will repeat."""
        self._first_iteration = runner.iter
        self._last = self._start = time.perf_counter()
        if not is_main_process():
            return
        rows = [row for row in read_record(self.path) if row["iteration"] <= runner.iter]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        write_json(self.path.with_name(SCHEDULE), _schedule(runner))
        missing = runner.iter - len({row["iteration"] for row in rows if "loss" in row})
        if missing:
            print(
                f"rankdet: warning: {self.path} lacks {missing} of {runner.iter} iterations before "
                "this one: the curves begin late or have gaps",
                file=sys.stderr,
            )

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Store the learning rate of the step, which the schedule changes before the next hooks."""
        self._rate = runner.optim_wrapper.get_lr()["lr"][0]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write one line: iteration, loss terms, self-balances, learning rate, seconds."""
        losses = _over_processes(outputs or {})
        if not is_main_process():
            return
        balances = balance_weights(runner.model)
        now = time.perf_counter()
        row = {"iteration": runner.iter + 1, **losses, **balances}
        row["lr"] = self._rate
        row["time"] = round(now - self._last, 4)
        self._last = now
        self._append(row)
        step = max(1, runner.max_iters // self.prints)
        if row["iteration"] % step == 0 or row["iteration"] == runner.max_iters:
            done = row["iteration"] - self._first_iteration
            left = (now - self._start) / done * (runner.max_iters - row["iteration"])
            print(
                f"[{self.label}] {row['iteration']}/{runner.max_iters} "
                f"loss {row.get('loss', float('nan')):.3f}, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Write one line with the validation metrics: of boxes, or of masks without boxes."""
        if not is_main_process():
            return
        metrics = metrics or {}
        kind = "bbox" if any("bbox/" in name for name in metrics) else "segm"
        found = {}
        for name, value in metrics.items():
            key = name.rsplit("/", 1)[-1]
            if key in VALIDATION_KEYS and f"{kind}/" in name and value is not None:
                found[key] = float(value)
        self._append({"iteration": runner.iter, **found})
        self._last = time.perf_counter()  # the next iteration's time excludes validation

    def _append(self, row: dict) -> None:
        append_line(self.path, json.dumps(row))


def _schedule(runner: Any) -> dict[str, Any]:
    """Return the length of a training, for `rankdet status`, and where this session starts."""
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    return {
        "iterations": runner.max_iters,
        "epochs": runner.max_epochs if by_epoch else None,
        "iterations_per_epoch": len(runner.train_dataloader) if by_epoch else None,
        "from": runner.iter,
        "started": utc_now(),
    }


def read_record(path: str | Path) -> list[dict]:
    """Return the lines of a training's record; an incomplete line is skipped."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and type(row.get("iteration")) is int:
            rows.append(row)
    return rows


def validated(path: str | Path) -> set[int]:
    """Return the iterations after which a validation was recorded."""
    return {row["iteration"] for row in read_record(path) if "lr" not in row}


def _over_processes(outputs: dict) -> dict[str, float]:
    """Return the losses of the whole batch: the mean over the processes that share it."""
    if not outputs:
        return {}
    values = torch.stack([value.detach().double().mean() for value in outputs.values()])
    all_reduce(values, "mean")  # does nothing in a single process
    return dict(zip(outputs, values.tolist(), strict=True))


def balance_weights(model: torch.nn.Module) -> dict[str, float]:
    """Return the weight of each self-balanced loss after the step: ``balance_bbox`` of loss_bbox.

    It is read from the model's state, which holds the same weight on all ranks.
    """
    weights = {}
    for head in model.modules():
        if getattr(head, "self_balance", None) is not None:
            ranked: Any = head  # see `rankdet.models.pools.RankedHead`
            balanced = ranked.loss_step.names(ranked.place)[1]
            weights[f"balance{balanced.removeprefix('loss')}"] = float(ranked.self_balance.weight)
    return weights


STEPS = 50  # consecutive steps without an object before the warning


@HOOKS.register_module()
class WatchPositives(Hook):
    """Warn, or stop, after many consecutive steps without a positive.

    A step counts if its images have no object after the loader's filters and augmentations, or if
    its loss is exactly zero, as ranking losses are without positives.

    Args:
        steps: consecutive steps; a shorter training is checked at its end.
        stop: raise an error instead of a warning.
    """

    priority = "LOW"

    def __init__(self, steps: int = STEPS, stop: bool = False) -> None:
        self.steps = steps
        self.stop = stop
        self._without = 0
        self._warned = False

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count steps without an object.

        Raises:
            InputError: after `steps` of them, if `stop` is set.
        """
        objects = _objects(data_batch)
        loss = (outputs or {}).get("loss")
        if objects and (loss is None or float(loss) != 0):
            self._without = 0
            return
        self._without += 1
        if self._without != min(self.steps, runner.max_iters) or self._warned or not is_first():
            return
        self._warned = True
        cause = (
            "the loader filters out their annotations: check what `rankdet prepare` reports about "
            "areas, crowds and boxes outside their image"
            if not objects
            else "there are objects, but no anchor or point is positive: check the sizes of "
            "boxes and images"
        )
        what = f"{self._without} consecutive steps without a positive"
        if self.stop:
            raise InputError("objects to learn from", what, cause)
        print(f"rankdet: warning: {what}; {cause}", file=sys.stderr, flush=True)


def _objects(data_batch: Any) -> int:
    """Return the annotated objects of a batch."""
    samples = (data_batch or {}).get("data_samples", ())
    return sum(len(sample.gt_instances) for sample in samples)
