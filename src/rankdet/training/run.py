"""`rankdet train`: train one entry with one preset on one data set."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rankdet import provenance
from rankdet.audit.compare import Setting, as_text, compare_setup, differing
from rankdet.catalogue import code_identity, load_catalogue
from rankdet.catalogue.official_files import official_set
from rankdet.catalogue.presets import Preset
from rankdet.datasets.manifest import Manifest
from rankdet.errors import InputError
from rankdet.paths import BACKBONES
from rankdet.training import processes, records
from rankdet.training.checkpoints import Checkpoints, publish
from rankdet.training.described import described
from rankdet.training.interruption import StopInTime
from rankdet.training.loops import DueValidation
from rankdet.training.records import Sessions
from rankdet.training.resolve import resolve
from rankdet.training.runner import AS_IS, Speed, apply_speed, prepare_runner, use_threads
from rankdet.training.start import use_drawn_weights, use_local_weights
from rankdet.training.step import NotFiniteError, TrainingStep, detector_of
from rankdet.training.tracking import Tracking
from rankdet.training.work_dir import (
    OnChange,
    begin,
    first_edition_mark,
    meta_of,
    newest_whole,
    pointed_at,
    run_settings,
    settings_hash,
)


@dataclass(frozen=True)
class Settings:
    """How a training is run on this machine.

    Attributes:
        seed: of the run.
        resume: continue from the newest checkpoint of the work directory, if there is one; if this
            run has finished there, publish it again.
        restart: delete the training in the work directory and start again.
        on_change: what to do with a training there that has other settings: "refuse", or
            "set-aside" into a separate folder.
        threads: CPU threads; None keeps torch's default.
        workers: data-loading processes; None keeps the preset's.
        passes: per step, each with a part of the process's images; 0 means one per official GPU.
        backbones: folder of the pretrained weights, for preset paper.
        speed: options that make a step faster.
        stop_without_positives: stop, instead of warning, if no image has a usable object.
        trackers: names of `rankdet.training.trackers`; they do not influence the training.
    """

    seed: int = 0
    resume: bool = False
    restart: bool = False
    on_change: OnChange = "refuse"
    threads: int | None = None
    workers: int | None = None
    passes: int = 0
    backbones: Path = BACKBONES
    speed: Speed = AS_IS
    stop_without_positives: bool = False
    trackers: tuple[str, ...] = ()


def train(
    entry_id: str,
    preset: Preset,
    data: Manifest,
    work_dir: Path,
    out: Path,
    settings: Settings = Settings(),
    **options: Any,
) -> dict:
    """Train an entry and publish its checkpoint.

    Args:
        entry_id: an id of the catalogue.
        preset: data, size and schedule of the run.
        data: the prepared data set.
        work_dir: for intermediate checkpoints and logs; never an output of the DAG.
        out: the final checkpoint; ``run.json`` and ``training.jsonl`` are written next to it.
        settings: of this run.
        **options: single fields of `Settings` by name, in place of those of ``settings``.

    Returns:
        The run's record, as in ``run.json``.

    Raises:
        InputError: if ``work_dir`` contains a training and neither ``resume`` nor ``restart`` is
            set, or its settings are different.
    """
    settings = _with_preset(replace(settings, **options), preset)
    _check(entry_id, preset)
    config = resolve(entry_id, preset, data)
    about_settings = described(load_catalogue()[entry_id], config, preset)
    weights = None
    if preset.start_weights == "official":
        weights = use_local_weights(config, load_catalogue()[entry_id], settings.backbones)
    config.speed = settings.speed.chosen
    use_threads(settings.threads)
    processes.join_group()
    if preset.start_weights == "drawn":
        weights = use_drawn_weights(config, load_catalogue()[entry_id], work_dir)
    record_path = work_dir / "training.jsonl"
    identity = run_settings(config, data, entry_id, preset.name, settings.seed, weights)
    mark = first_edition_mark(config, data, settings.seed)
    checkpoint = _in_all(
        lambda: begin(
            *(work_dir, identity, mark, out),
            resume=settings.resume,
            restart=settings.restart,
            on_change=settings.on_change,
        )
    )
    config.resume = checkpoint is not None
    done = _finished_before(work_dir, out)
    if done is not None:
        return done
    total = preset.batch_size or config.auto_scale_lr.base_batch_size
    passes = processes.passes_of(config, total, processes.world_size(), settings.passes)
    setup = []
    if preset.name == "paper":
        setup = _compared(entry_id, config, data, passes, settings.speed)
    passes = processes.share_batch(config, total, processes.world_size(), passes)
    interval = _set_hooks(config, preset, record_path, f"{entry_id} {preset.name}")
    config.custom_hooks.append(dict(type="WatchPositives", stop=settings.stop_without_positives))
    if config.resume:  # resume from there, not from the pretrained weights
        config.load_from = str(checkpoint)
    about = {"threads": settings.threads, "processes": processes.world_size(), "passes": passes}
    sessions = _sessions(checkpoint, about | {"machine": provenance.machine()})
    runner = prepare_runner(config, work_dir, settings.seed, settings.workers)
    apply_speed(detector_of(runner.model), settings.speed)
    runner.training_step = TrainingStep(runner.model, passes, settings.seed, lambda: runner.iter)
    saver = Checkpoints(interval, settings_hash(identity), sessions, record_path, out)
    tracking = Tracking(settings.trackers, record_path, _about(identity, total))
    for hook in (tracking, saver, StopInTime(saver), DueValidation(record_path)):
        runner.register_hook(hook)
    try:
        with tracking:
            runner.train()
            sessions.reach(runner.iter, "finished")
    except NotFiniteError as error:
        raise _refusal(entry_id, runner.iter + 1, error, newest_whole(work_dir, out)) from None
    record = {
        "entry": entry_id,
        "preset": preset.name,
        "iterations": runner.iter,
        "seconds": sessions.seconds,
        "resumed": len(sessions.as_plain()) > 1,
        "seed": settings.seed,
        "threads": settings.threads,
        "speed": settings.speed.chosen,
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
        **about_settings,
    }
    if _ends_as_first():
        meta = {key: record[key] for key in ("entry", "preset", "iterations", "seed")}
        publish(_last_checkpoint(work_dir, out), out, {**meta, "classes": list(data.classes)})
        records.keep(work_dir, out, record)
    return record


def _about(identity: dict[str, Any], batch_size: int) -> dict[str, Any]:
    """Return what a tracker shows of a run."""
    return {key: identity[key] for key in ("entry", "preset", "seed")} | {"batch_size": batch_size}


def _check(entry_id: str, preset: Preset) -> None:
    """Refuse a preset that cannot be trained."""
    if not preset.trains:
        fix = f"download its weights instead: rankdet fetch checkpoint {entry_id}"
        raise InputError("a preset that trains", f"preset {preset.name}", fix)
    if preset.iterations is not None and preset.learning_rate is None:
        expected = f"--learning-rate for preset {preset.name}, which has none of its own"
        raise InputError(expected, "none", "give one; a study's workflow chooses it")


def _with_preset(settings: Settings, preset: Preset) -> Settings:
    """Return the settings with the speed option that the preset always has."""
    channels_last = settings.speed.channels_last or preset.channels_last
    return replace(settings, speed=replace(settings.speed, channels_last=channels_last))


def _finished_before(work_dir: Path, out: Path) -> dict | None:
    """Publish a training again that has finished in ``work_dir``; return its record, else None."""
    done = processes.from_first(records.record_of(work_dir) if processes.is_first() else None)
    if done is not None and _ends_as_first():
        print(f"this run already finished in {work_dir}; published again", file=sys.stderr)
        records.publish_again(work_dir, out, done)
    return done


def _sessions(checkpoint: Path | None, about: dict) -> Sessions:
    if checkpoint is None:
        return Sessions([], 0, about)
    meta = meta_of(checkpoint)  # an earlier version stored no sessions
    return Sessions(meta.get("sessions", []), meta["iter"], about)


def _refusal(entry_id: str, iteration: int, error: NotFiniteError, kept: Path | None) -> InputError:
    """Return the error message for NaN or inf in a training."""
    where = "no checkpoint was written before it"
    if kept is not None:
        where = f"{kept} is the last good checkpoint, from which --resume continues"
    return InputError(
        f"finite numbers in the training of {entry_id}",
        f"{error.found}, iteration {iteration}",
        f"{error.fix}; {where}",
    )


def _compared(
    entry_id: str, config: Config, data: Manifest, passes: int, speed: Speed
) -> list[Setting]:
    """Print the settings of the official run and of this one; return them."""
    entry = load_catalogue()[entry_id]
    found = compare_setup(
        entry,
        config.to_dict(),
        data.name,
        data.train.image_count,
        official_set(data.identity()),
        processes.world_size(),
        passes,
        speed.chosen,
    )
    if processes.is_first():
        print(as_text(entry_id, found), file=sys.stderr, flush=True)
    return found


def _ends_as_first() -> bool:
    """Leave the process group; tell whether this process must publish."""
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
        if (
            not preset.validations
        ):  # mmengine validates after the last iteration whatever the interval
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
            outcome = (None, (error.expected, error.got, error.fix))
    value, refusal = processes.from_first(outcome)
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
