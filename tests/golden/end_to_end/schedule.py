"""Learning rates: what mmengine's schedulers give from our config, iteration by iteration."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from rankdet.catalogue.presets import PRESETS
from rankdet.training.resolve import resolve
from tests.golden.end_to_end.cases import Case, relative
from tests.golden.end_to_end.data_under_test import data_node
from tests.golden.end_to_end.part import Part

COCO_TRAIN = 117_266  # images with boxes
LONGEST = 10**9  # iterations: no training is that long
# mmengine multiplies factor upon factor where the official code computes each rate anew; that is
# a few units in the last of 17 digits, and below all digits that a log prints.
DIGITS = 1e-12


def rates(config: Config, epoch_length: int, wanted: Iterable[int]) -> dict[int, float]:
    """Return the learning rate of the iterations ``wanted``, as a training of ours uses it."""
    model = nn.Linear(1, 1)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(settings), default_args=dict(optimizer=wrapper))
        for settings in _built_by_iteration(config, epoch_length)
    ]
    wanted = sorted(set(wanted))
    found, remaining = {}, iter(wanted)
    due = next(remaining, None)
    for iteration in range(wanted[-1] + 1):
        if iteration == due:
            found[iteration] = float(wrapper.param_groups[0]["lr"])
            due = next(remaining, None)
        ends_epoch = (iteration + 1) % epoch_length == 0
        for scheduler in schedulers:
            # Past its end a step changes nothing, and is left out.
            counts = scheduler.last_step <= min(scheduler.end, LONGEST)
            if ends_epoch if scheduler.by_epoch else counts:
                scheduler.step()
    return found


def _built_by_iteration(config: Config, epoch_length: int) -> Iterable[dict]:
    """Yield the schedulers; mmengine turns those marked so from epochs into iterations."""
    for settings in config.param_scheduler:
        settings = dict(settings)
        if settings.pop("convert_to_iter_based", False):
            settings["by_epoch"] = False
            for name in ("begin", "end", "T_max"):
                if name in settings:
                    settings[name] *= epoch_length
            if "milestones" in settings:
                settings["milestones"] = [epoch_length * m for m in settings["milestones"]]
        yield settings


def official_rates(
    optimizer: dict, schedule: dict, epochs: int, epoch_length: int, wanted: Iterable[int]
) -> dict[int, float]:
    """Return the rates that a recorded ``lr_config`` means.

    By the published description of mmcv's hooks: the policy sets the rate of each epoch, and the
    first ``warmup_iters`` iterations rise to it on a line that starts at ``warmup_ratio``.
    """
    base = optimizer["lr"]
    kind = schedule.get("policy") or schedule["type"]

    def regular(epoch: int) -> float:
        if kind.lower().startswith("step"):
            return base * schedule.get("gamma", 0.1) ** sum(s <= epoch for s in schedule["step"])
        if kind.lower().startswith("cosine"):
            lowest = schedule.get("min_lr") or base * (schedule.get("min_lr_ratio") or 0.0)
            return lowest + 0.5 * (base - lowest) * (1 + math.cos(math.pi * epoch / epochs))
        raise ValueError(f"no formula for lr_config {schedule}")

    def rate(iteration: int) -> float:
        now = regular(iteration // epoch_length)
        length = schedule.get("warmup_iters", 0) if schedule.get("warmup") else 0
        if iteration >= length:
            return now
        if schedule["warmup"] != "linear":
            raise ValueError(f"no formula for warmup {schedule['warmup']!r}")
        return now * (1 - (1 - iteration / length) * (1 - schedule["warmup_ratio"]))

    return {iteration: rate(iteration) for iteration in wanted}


def _compare(part: Part, ours: dict[int, float], official: dict[int, float]) -> None:
    part.measured["iterations"] = len(official)
    part.expect(bool(official), "no learning rate to compare")
    for iteration, rate in official.items():
        error = relative(ours[iteration], rate)
        part.most("lr", error)
        part.expect(
            error <= DIGITS,
            f"iteration {iteration}: lr {ours[iteration]!r}, official {rate!r}",
        )


def compare_recorded_rates(part: Part, entry_id: str, recorded: list) -> None:
    """Compare an entry of lr_official.json; its last pairs are both ends of every epoch."""
    official = {int(iteration): float(rate) for iteration, rate in recorded}
    iterations = list(official)
    gap = next((i for i, (a, b) in enumerate(pairwise(iterations)) if b != a + 1), None)
    # Without a gap the record is of the first epoch only, however long that is.
    epoch_length = iterations[gap + 1] + 1 if gap is not None else LONGEST
    config = resolve(entry_id, PRESETS["paper"], None)
    if gap is not None:
        epochs = (iterations[-1] + 1) / epoch_length
        part.equal("epochs", config.train_cfg.max_epochs, epochs)
        part.measured["epochs"] = int(epochs)
        images = config.auto_scale_lr.base_batch_size
        if "instances_train2017" in data_node(config, "train").ann_file:
            part.equal("iterations of an epoch", -(-COCO_TRAIN // images), epoch_length)
    _compare(part, rates(config, epoch_length, iterations), official)


def compare_schedule(part: Part, case: Case) -> None:
    """Compare the rates of a case: those recorded, and those that its lr_config means."""
    setup = case.setup
    config = resolve(case.entry_id, PRESETS["paper"], None)
    if not case.lacks("trajectory.json"):
        records = case.json("trajectory.json")
        length = setup.get("batches") or LONGEST
        official = {record["iter"]: record["lr"] for record in records}
        part.expect(max(official) < length, "the recording is longer than an epoch")
        _compare(part, rates(config, LONGEST, official), official)
    if "lr_config" in setup and "optimizer" in setup:
        epochs = config.train_cfg.max_epochs
        length = -(-COCO_TRAIN // config.auto_scale_lr.base_batch_size)
        ends = [i for e in range(epochs) for i in (e * length, (e + 1) * length - 1)]
        wanted = sorted({*range(0, 520), *ends})
        try:
            formula = official_rates(setup["optimizer"], setup["lr_config"], epochs, length, wanted)
        except (ValueError, KeyError) as error:
            part.notes.append(f"only the recorded iterations are compared: {error}")
            compared = bool(part.measured)
            part.skipped = "" if compared else f"nothing recorded, and {error}"
            return
        _compare(part, rates(config, length, wanted), formula)
