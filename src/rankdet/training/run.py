"""`rankdet train`: one entry, one preset, one data set to one verified checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config

from rankdet.catalogue import code_identity, load_catalogue
from rankdet.catalogue.official_data import official_set
from rankdet.datasets.manifest import Manifest
from rankdet.errors import InputError
from rankdet.training import (
    finished,
    positives,  # noqa: F401 (hook)
    processes,
    provenance,
    records,
)
from rankdet.training.checkpoints import Checkpoints, publish
from rankdet.training.finite import NotFiniteError
from rankdet.training.interruption import StopInTime
from rankdet.training.loops import DueValidation
from rankdet.training.presets import Preset
from rankdet.training.resolve import resolve
from rankdet.training.run_settings import first_edition_mark, run_settings, settings_hash
from rankdet.training.runner import prepare_runner, use_threads
from rankdet.training.sessions import Sessions
from rankdet.training.setup import Setting, as_text, compare_setup, differing
from rankdet.training.speed import AS_IS, Speed, apply_speed
from rankdet.training.start import BACKBONES, use_drawn_weights, use_local_weights
from rankdet.training.step import TrainingStep
from rankdet.training.work_dir import OnChange, begin, meta_of, newest_whole, pointed_at


def train(
    entry_id: str,
    preset: Preset,
    data: Manifest,
    work_dir: Path,
    out: Path,
    seed: int = 0,
    resume: bool = False,
    threads: int | None = None,
    workers: int | None = None,
    backbones: Path = BACKBONES,
    speed: Speed = AS_IS,
    passes: int = 0,
    stop_without_positives: bool = False,
    restart: bool = False,
    on_change: OnChange = "refuse",
) -> dict:
    """Train an entry and publish its checkpoint.

    Args:
        entry_id: an id of the catalogue.
        preset: how large the run is.
        data: the prepared data set.
        work_dir: checkpoints on the way and logs; kept, never an output of the DAG.
        out: the checkpoint to publish; ``run.json`` and ``training.jsonl`` go beside it.
        seed: of the run.
        resume: continue from the newest checkpoint of ``work_dir``, if there is one; where this
            run has finished there, publish it again.
        threads: processor threads.
        workers: data-loading processes.
        backbones: where fetched weights lie, from which preset paper starts.
        speed: what is done for speed.
        passes: of one step, each with a part of the process's images; 0 takes those of the
            official GPUs one by one.
        stop_without_positives: end a training that finds nothing to learn from, instead of warning.
        restart: delete the training that is in ``work_dir`` and begin again.
        on_change: what happens with a training there of other settings: "refuse", or "set-aside"
            into a folder of its own.

    Returns:
        The run's record, as in ``run.json``.

    Raises:
        InputError: if ``work_dir`` holds a training, and neither ``resume`` nor ``restart`` says
            what becomes of it, or its settings are others.
    """
    if not preset.trains:
        todo = f"fetch its weights: rankdet fetch checkpoint {entry_id}"
        raise InputError("a preset that trains", f"preset {preset.name}", todo)
    config = resolve(entry_id, preset, data)
    weights = None
    if preset.start_weights == "official":
        weights = use_local_weights(config, load_catalogue()[entry_id], backbones)
    config.speed = speed.chosen
    use_threads(threads)
    processes.join_group()
    if preset.start_weights == "drawn":
        weights = use_drawn_weights(config, load_catalogue()[entry_id], work_dir)
    record_path = work_dir / "training.jsonl"
    settings = run_settings(config, data, entry_id, preset.name, seed, weights)
    mark = first_edition_mark(config, data, seed)
    checkpoint = _in_all(
        lambda: begin(
            *(work_dir, settings, mark, out), resume=resume, restart=restart, on_change=on_change
        )
    )
    config.resume = checkpoint is not None
    done = processes.said_by_first(records.record_of(work_dir) if processes.is_first() else None)
    if done is not None:
        if _ends_as_first():
            print(f"this run has finished in {work_dir}; published again", file=sys.stderr)
            finished.publish_again(work_dir, out, done)
        return done
    total = preset.batch_size or config.auto_scale_lr.base_batch_size
    passes = processes.passes_of(config, total, processes.world_size(), passes)
    setup = _compared(entry_id, config, data, passes, speed) if preset.name == "paper" else []
    passes = processes.share_batch(config, total, processes.world_size(), passes)
    interval = _set_hooks(config, preset, record_path, f"{entry_id} {preset.name}")
    config.custom_hooks.append(dict(type="WatchPositives", stop=stop_without_positives))
    if config.resume:  # from there, not from the weights that the run started from
        config.load_from = str(checkpoint)
    about = {"threads": threads, "processes": processes.world_size(), "passes": passes}
    sessions = _sessions(checkpoint, about | {"machine": provenance.machine()})
    runner = prepare_runner(config, work_dir, seed, workers)
    apply_speed(getattr(runner.model, "module", runner.model), speed)
    runner.model.train_step = TrainingStep(runner.model, passes, seed, lambda: runner.iter)
    saver = Checkpoints(interval, settings_hash(settings), sessions, record_path, out)
    for hook in (saver, StopInTime(saver), DueValidation(record_path)):
        runner.register_hook(hook)
    try:
        runner.train()
    except NotFiniteError as error:
        raise _refusal(entry_id, runner.iter + 1, error, newest_whole(work_dir, out)) from None
    sessions.reach(runner.iter, "finished")
    record = {
        "entry": entry_id,
        "preset": preset.name,
        "iterations": runner.iter,
        "seconds": sessions.seconds,
        "resumed": len(sessions.as_plain()) > 1,
        "seed": seed,
        "threads": threads,
        "speed": speed.chosen,
        "processes": processes.world_size(),
        "passes": passes,
        "batch_size": total,
        "start_weights": weights,
        "data": data.identity(),
        "setup_differs": differing(setup),
        "machine": provenance.machine(),
        "versions": provenance.versions(),
        "git": provenance.code_state(),
        "code": code_identity(load_catalogue()[entry_id]),
        "sessions": sessions.as_plain(),
    }
    if _ends_as_first():
        meta = {key: record[key] for key in ("entry", "preset", "iterations", "seed")}
        publish(_last_checkpoint(work_dir, out), out, {**meta, "classes": list(data.classes)})
        finished.keep(work_dir, out, record)
    return record


def _sessions(checkpoint: Path | None, about: dict) -> Sessions:
    if checkpoint is None:
        return Sessions([], 0, about)
    meta = meta_of(checkpoint)  # of an earlier version without sessions
    return Sessions(meta.get("sessions", []), meta["iter"], about)


def _refusal(entry_id: str, iteration: int, error: NotFiniteError, kept: Path | None) -> InputError:
    """Return what a user is told about NaN or inf in a training."""
    where = "no checkpoint was written before it"
    if kept is not None:
        where = f"{kept} is the last good checkpoint, from which --resume continues"
    return InputError(
        f"finite numbers in the training of {entry_id}",
        f"{error.found}, iteration {iteration}",
        f"{error.todo}; {where}",
    )


def _compared(
    entry_id: str, config: Config, data: Manifest, passes: int, speed: Speed
) -> list[Setting]:
    """Print the official run beside this one; return the settings."""
    entry = load_catalogue()[entry_id]
    found = compare_setup(
        entry,
        config,
        data,
        official_set(data.identity()),
        processes.world_size(),
        passes,
        speed.chosen,
    )
    if processes.is_first():
        print(as_text(entry_id, found), file=sys.stderr, flush=True)
    return found


def _ends_as_first() -> bool:
    """Leave the other processes; tell whether this one has to publish."""
    is_first = processes.is_first()
    processes.leave_group()
    return is_first


def _set_hooks(config: Config, preset: Preset, record_path: Path, label: str) -> int | None:
    """Set loop and hooks of ``config``; return the iterations between checkpoints; None: epochs."""
    interval = None
    if preset.iterations is None:
        config.train_cfg.type = "ResumableEpochLoop"
        config.train_cfg.pop("by_epoch", None)
    else:
        interval = max(1, preset.iterations // max(1, preset.validations))
        config.train_cfg.type = "ResumableIterLoop"
        config.train_cfg.val_interval = interval
        if not preset.validations:  # mmengine measures the last iteration whatever the interval
            config.train_cfg.val_begin = preset.iterations + 1
    config.default_hooks = dict(
        timer=dict(type="IterTimerHook"),
        logger=dict(type="LoggerHook", interval=50),
        param_scheduler=dict(type="ParamSchedulerHook"),
        checkpoint=None,  # ours, below
        sampler_seed=dict(type="DistSamplerSeedHook"),
    )
    config.custom_hooks = [
        *config.get("custom_hooks", []),
        dict(type="TrainingRecord", path=str(record_path), label=label),
    ]
    return interval


def _in_all(call: Callable[[], Path | None]) -> Path | None:
    """Return in all processes what ``call`` returns in the first one, or raise what it raises."""
    outcome: tuple = (None, None)
    if processes.is_first():
        try:
            outcome = (call(), None)
        except InputError as error:
            outcome = (None, (error.expected, error.got, error.todo))
    value, refusal = processes.said_by_first(outcome)
    if refusal is not None:
        raise InputError(*refusal)
    return value


def _last_checkpoint(work_dir: Path, out: Path) -> Path:
    path = pointed_at(work_dir) or newest_whole(work_dir, out)
    if path is None:
        raise InputError(
            "a checkpoint at the end of training", f"none in {work_dir}", "train again"
        )
    return path
