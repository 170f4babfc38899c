"""Status of every run below ``results`` and ``work``, from their files alone.

It reads while trainings write, on this machine or on a cluster: a file may be missing, end in the
middle of a line or disappear. Nothing is written, and nothing of a training is imported.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rankdet.catalogue.presets import PRESETS
from rankdet.catalogue.seeds import run_folders, seed_folder, seed_of
from rankdet.errors import InputError, nearest
from rankdet.files import read_json
from rankdet.report.record_tail import count, read_tail
from rankdet.report.results import read_metrics, read_run

STATES = ("training", "stopped", "interrupted", "failed", "trained", "done", "damaged")
# A folder is one of a run if it has one of these.
WORK_FILES = ("run_settings.json", "running.json", "finished.json")
RESULT_FILES = ("metrics.json", "run.json", "checkpoint.pth")
# Files that a running training changes.
SIGNS = ("running.json", "training.jsonl", "schedule.json", "last_checkpoint", "finished.json")


class Owner(Protocol):
    """The process that a work directory's lock names."""

    @property
    def host(self) -> str:
        """The machine it runs on."""

    @property
    def pid(self) -> int:
        """Its number there."""

    @property
    def job(self) -> str | None:
        """Its Slurm job, if it has one."""

    @property
    def is_alive(self) -> bool:
        """Whether it is still running, as far as files tell."""


OwnerOf = Callable[[Path], Owner | None]


@dataclass(frozen=True)
class RunStatus:
    """The status of one run; what is unknown is None.

    Attributes:
        preset: of the run.
        entry: its id.
        folder: ``seed-<n>`` of one of several runs, else "".
        seed: of that folder, else of the run's records.
        state: one of `STATES`.
        iteration: the last one in the record; 0 before the first.
        iterations: of the whole training.
        epoch: epochs done, with a fraction; None for a preset that counts iterations.
        epochs: of the whole training.
        seconds_per_iteration: mean of the last 100 iterations, without validations.
        seconds_left: at that pace, without validations; 0 after the training.
        loss: of the last iteration; NaN is kept.
        AP: of the last validation, or of the evaluation when done; from 0 to 1.
        oLRP: the same.
        measured_at: the iteration of the validation; None if the values are of the evaluation.
        seconds_since_sign: since a file of the run last changed.
        host: where it runs or last ran.
        pid: its process there.
        job: its Slurm job.
        problem: why the state is "damaged", on one line.
    """

    preset: str
    entry: str
    folder: str = ""
    seed: int | None = None
    state: str = "damaged"
    iteration: int | None = None
    iterations: int | None = None
    epoch: float | None = None
    epochs: int | None = None
    seconds_per_iteration: float | None = None
    seconds_left: float | None = None
    loss: float | None = None
    AP: float | None = None
    oLRP: float | None = None
    measured_at: int | None = None
    seconds_since_sign: float | None = None
    host: str | None = None
    pid: int | None = None
    job: str | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the fields for strict JSON: a number that is not finite becomes None."""
        fields = asdict(self)
        for key, value in fields.items():
            if isinstance(value, float):
                fields[key] = round(value, 4) if math.isfinite(value) else None
        return fields


def read_status(
    results: Path, work: Path, owner_of: OwnerOf, preset: str | None = None
) -> list[RunStatus]:
    """Return the status of every run, by preset, entry and seed.

    Args:
        results: folder with ``<preset>/<entry>/``.
        work: folder of the trainings, with the same layout.
        owner_of: returns the owner that a work directory's lock names.
        preset: only this one.

    Raises:
        InputError: if there is no preset of that name.
    """
    if preset is not None and preset not in PRESETS:
        raise InputError(f"a preset ({', '.join(PRESETS)})", repr(preset), nearest(preset, PRESETS))
    found = []
    for name in PRESETS if preset is None else (preset,):
        places = {*_places(results / name, RESULT_FILES), *_places(work / name, WORK_FILES)}
        for entry, seed in sorted(places, key=lambda place: (place[0], place[1] or 0)):
            folder = "" if seed is None else seed_folder(seed)
            own = Folders(results / name / entry / folder, work / name / entry / folder)
            found.append(_status(RunStatus(name, entry, folder, seed), own, owner_of))
    return found


def _places(folder: Path, files: Iterable[str]) -> Iterator[tuple[str, int | None]]:
    """Yield (entry, seed) of every run in the folder of a preset."""
    try:
        entries = [path for path in folder.iterdir() if path.is_dir()]
        for entry in entries:
            for place in (entry, *run_folders(entry)):
                if any((place / name).exists() for name in files):
                    yield entry.name, None if place is entry else seed_of(place.name)
    except (FileNotFoundError, NotADirectoryError):
        return


@dataclass(frozen=True)
class Folders:
    """The two folders of a run."""

    results: Path
    work: Path

    def read(self, name: str) -> dict[str, Any]:
        """Return a JSON object of the work directory; {} if there is none (any more)."""
        return _object(self.work / name)

    def has(self, *names: str) -> bool:
        """Tell whether the work directory has one of the files."""
        return any((self.work / name).exists() for name in names)


def _object(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, "a record of a training")
    except InputError:
        if path.exists():
            raise
        return {}
    if not isinstance(content, dict):
        raise InputError("a JSON object", f"{path}, another value", "train the entry again")
    return content


def _status(run: RunStatus, folders: Folders, owner_of: OwnerOf) -> RunStatus:
    run = replace(run, seconds_since_sign=_since_sign(folders))
    try:
        owner = owner_of(folders.work)
        if owner is not None:
            run = replace(run, host=owner.host, pid=owner.pid, job=owner.job)
        run = replace(run, state=_state(folders, owner))
        return _with_metrics(_with_progress(run, folders), folders)
    except (InputError, OSError) as error:
        return replace(run, state="damaged", problem=str(error))


def _state(folders: Folders, owner: Owner | None) -> str:
    """Return the state; the work directory is newer than results from an earlier training."""
    if owner is not None and owner.is_alive:
        return "training"
    if folders.has("run_settings.json") and not folders.has("finished.json"):
        if owner is not None:
            return "interrupted"  # its lock was not removed
        return "stopped" if _pointer(folders.work).startswith("stopped_") else "failed"
    return "done" if (folders.results / "metrics.json").exists() else "trained"


def _pointer(work: Path) -> str:
    try:
        return (work / "last_checkpoint").read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _since_sign(folders: Folders) -> float | None:
    paths = [*(folders.work / name for name in SIGNS)]
    paths += [folders.results / name for name in RESULT_FILES]
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(0.0, time.time() - max(times)) if times else None


def _with_progress(run: RunStatus, folders: Folders) -> RunStatus:
    schedule, settings = folders.read("schedule.json"), folders.read("run_settings.json")
    tail = read_tail(folders.work / "training.jsonl")
    if tail.is_empty:
        tail = read_tail(folders.results / "training.jsonl")
    run_json = folders.results / "run.json"
    is_over = run.state in ("trained", "done")
    record = read_run(run_json) if is_over and run_json.exists() else {}
    total = count(schedule.get("iterations")) or _total(settings) or count(record.get("iterations"))
    done = count(record.get("iterations")) if is_over else None
    iteration = done if done is not None else tail.iteration or 0
    left = None
    if is_over:
        left = 0.0
    elif total is not None and tail.pace is not None:
        left = max(0, total - iteration) * tail.pace
    epoch = count(schedule.get("iterations_per_epoch"))
    seed = run.seed
    if seed is None:
        seed = count(record.get("seed", _inner(settings, "settings").get("seed")))
    return replace(
        run,
        seed=seed,
        iteration=iteration,
        iterations=total,
        epoch=iteration / epoch if epoch else None,
        epochs=count(schedule.get("epochs")),
        seconds_per_iteration=tail.pace,
        seconds_left=left,
        loss=tail.loss,
        AP=tail.validation.get("AP"),
        oLRP=tail.validation.get("oLRP"),
        measured_at=tail.validated_at,
    )


def _with_metrics(run: RunStatus, folders: Folders) -> RunStatus:
    path = folders.results / "metrics.json"
    if run.state != "done":
        return run
    try:
        metrics = read_metrics(path)
    except InputError:
        if path.exists():
            raise
        return replace(run, state="trained")  # deleted since
    main = metrics["bbox" if "bbox" in metrics else "segm"]
    return replace(run, AP=main.get("AP"), oLRP=main.get("oLRP"), measured_at=None)


def _total(settings: Mapping[str, Any]) -> int | None:
    """Return the iterations of a short preset; earlier versions wrote no ``schedule.json``."""
    config = _inner(_inner(settings, "settings"), "config")
    return count(_inner(config, "train_cfg").get("max_iters"))


def _inner(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}
