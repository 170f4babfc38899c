"""The state of a work directory: which run it contains, and its checkpoints.

A run is identified by its settings: everything that influences the result, without paths.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from rankdet.datasets.manifest import Manifest
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import content_sha256, json_sha256
from rankdet.outputs import shown_path, write_json
from rankdet.training.record import SCHEDULE
from rankdet.training.step import NotFiniteError, check_state
from rankdet.training.trackers import EVENTS, STATE
from rankdet.weights.checkpoint_files import read_checkpoint

# Parts of a config that do not influence the trained weights, or are recorded separately.
IGNORED_PARTS = frozenset(
    {
        *("val_dataloader", "test_dataloader", "val_evaluator", "test_evaluator"),
        *("val_cfg", "test_cfg", "tta_model", "tta_pipeline", "train_pipeline", "test_pipeline"),
        *("visualizer", "vis_backends", "log_processor", "log_level", "default_hooks"),
        *("env_cfg", "launcher", "work_dir", "resume", "load_from", "default_scope"),
    }
)
# Keys that never influence the weights: paths, and how files are read.
IGNORED_KEYS = frozenset(
    {
        *("ann_file", "data_root", "data_prefix", "img_prefix", "proposal_file", "out_file"),
        *("checkpoint", "work_dir", "backend_args", "file_client_args"),
        *("num_workers", "persistent_workers", "pin_memory", "prefetch_factor"),
    }
)
SHOWN = 3  # differences in a message
WIDTH = 40  # characters of a value in a message


def run_settings(
    config: Config, data: Manifest, entry: str, preset: str, seed: int, weights: dict | None
) -> dict[str, Any]:
    """Return the settings of a run as plain JSON.

    Args:
        config: resolved, before hooks and machine-specific paths are set.
        data: the data set.
        entry: id of the catalogue.
        preset: its name.
        seed: of the run.
        weights: {"file", "sha256"} of the start weights, or None.
    """
    parts = {key: value for key, value in dict(config).items() if key not in IGNORED_PARTS}
    settings = {
        "entry": entry,
        "preset": preset,
        "seed": seed,
        "start_weights": (weights or {}).get("sha256"),
        "data": {
            "train_sha256": data.train.sha256,
            "val_sha256": data.val.sha256,
            "classes": list(data.classes),
        },
        "config": _plain(parts),
    }
    return json.loads(json.dumps(settings))  # as it will be read back: tuples become lists


def settings_hash(settings: dict[str, Any]) -> str:
    """Return the SHA-256 of ``settings``."""
    return json_sha256(settings)


def first_edition_mark(config: Config, data: Manifest, seed: int) -> str:
    """Return the hash that earlier versions wrote for the same run; it depends on paths."""
    text = "\0".join((config.pretty_text, data.train.sha256, data.val.sha256, str(seed)))
    return content_sha256(text)


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return the first settings that differ, as ``key: old -> new``; "" if there are none."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    lines = [
        f"{shown_path(key)}: {_short(before, key)} -> {_short(after, key)}"
        for key in changed[:SHOWN]
    ]
    more = len(changed) - SHOWN
    return ", ".join(lines) + (f" and {more} more" if more > 0 else "")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    if not children:
        yield path, value
    for key, child in children:
        yield from _leaves(child, f"{path}.{key}" if path else str(key))


def _short(leaves: dict[str, Any], key: str) -> str:
    if key not in leaves:
        return "none"
    text = json.dumps(leaves[key])
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k not in IGNORED_KEYS}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return Path(value).name if isinstance(value, Path) else str(value)


SETTINGS = "run_settings.json"
FIRST_EDITION = "run_fingerprint"  # of earlier versions: one hash of everything, paths included
POINTER = "last_checkpoint"
KEPT = ("finished.json", "finished.pth", "training.jsonl")
CHECKPOINT = re.compile(r"(iter|epoch|stopped)_\d+\.pth")
OnChange = Literal["refuse", "set-aside"]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file of a work directory.

    Attributes:
        path: of the file.
        iteration: at which it continues; -1 if the file is damaged.
        run: hash of the settings of its run; None if unknown.
    """

    path: Path
    iteration: int
    run: str | None

    @property
    def is_damaged(self) -> bool:
        """Whether the file is not a complete checkpoint."""
        return self.iteration < 0


def begin(
    work_dir: Path,
    settings: dict[str, Any],
    first_edition: str,
    out: Path,
    *,
    resume: bool = False,
    restart: bool = False,
    on_change: OnChange = "refuse",
) -> Path | None:
    """Prepare ``work_dir`` for a run; return the checkpoint to continue from, if any.

    Nothing is deleted unless ``restart`` is given, and then only files that a run here wrote.

    Args:
        work_dir: of the run.
        settings: `run_settings` of the run.
        first_edition: the hash that an earlier version wrote for this run.
        out: the final checkpoint, which may be in ``work_dir``.
        resume: continue the existing run.
        restart: delete the existing run.
        on_change: what to do with a run that has other settings.

    Raises:
        InputError: if there is a run and the options do not say what to do with it.
    """
    if resume and restart:
        raise InputError("--resume or --restart", "both", "choose one of them")
    work_dir.mkdir(parents=True, exist_ok=True)
    _refuse_other_files(work_dir, out)
    if restart:
        _delete(work_dir, out)
    elif _has_run(work_dir, out):
        changes = _changes(work_dir, settings, first_edition)
        if changes and on_change == "set-aside":
            _set_aside(work_dir, out, changes)
        elif changes:
            fix = (
                "delete that training with --restart, move it to a subfolder with "
                "--on-change set-aside, or choose another --work-dir"
            )
            got = f"{shown_path(work_dir)} with a training that has other settings ({changes})"
            raise InputError("a work directory of the same training", got, fix)
        elif not resume:
            fix = "continue it with --resume, or delete it and start again with --restart"
            got = f"{shown_path(work_dir)}, which already contains this training"
            raise InputError("a work directory without a training", got, fix)
    else:
        _delete(work_dir, out)  # of a run that ended before its first checkpoint
    write_json(work_dir / SETTINGS, {"sha256": settings_hash(settings), "settings": settings})
    return newest_whole(work_dir, out) if resume else None


def checkpoints(work_dir: Path, out: Path | None = None) -> list[Checkpoint]:
    """Return the checkpoints in ``work_dir``, newest first, without ``out``."""
    own = None if out is None else out.resolve()
    found = [
        _read(path)
        for path in work_dir.iterdir()
        if CHECKPOINT.fullmatch(path.name) and path.resolve() != own
    ]
    return sorted(found, key=lambda each: each.iteration, reverse=True)


def pointed_at(work_dir: Path) -> Path | None:
    """Return the checkpoint that ``last_checkpoint`` names, even if the directory was moved."""
    try:
        name = Path((work_dir / POINTER).read_text(encoding="utf-8").strip()).name
    except (OSError, UnicodeDecodeError):
        return None
    path = work_dir / name
    return path if CHECKPOINT.fullmatch(name) and path.is_file() else None


def newest_whole(work_dir: Path, out: Path | None = None) -> Path | None:
    """Return the checkpoint to continue from: the one pointed at, else the newest complete one.

    Raises:
        InputError: if all remaining ones contain NaN, which would stop the training again.
    """
    pointed = pointed_at(work_dir)
    # A stable sort: the one pointed at comes first, the others keep their order.
    order = sorted(checkpoints(work_dir, out), key=lambda each: each.path != pointed)
    problems: list[tuple[Path, str]] = []
    for each in order:
        problem = _problem(each)
        if problem is None:
            for path, why in problems:
                print(f"{path} {why}: continuing from {each.path.name}", file=sys.stderr)
            return each.path
        problems.append((each.path, problem))
    if any(why == _NOT_FINITE for _, why in problems):
        raise InputError(
            f"a checkpoint with finite weights in {shown_path(work_dir)}",
            f"NaN or inf in {problems[0][0].name}",
            "lower the learning rate, or start again with --restart",
        )
    for path, why in problems:
        print(f"{path} {why}: training starts from the beginning", file=sys.stderr)
    return None


def delete_older(work_dir: Path, newest: Path, out: Path, keep: int = 2) -> None:
    """Delete intermediate checkpoints except ``newest`` and the latest others: ``keep`` in all.

    ``out``, the final one, may be in the same folder and is not deleted.
    """
    found = [each for each in checkpoints(work_dir, out) if _is_own(each, work_dir)]
    others = [each.path for each in found if each.path != newest]
    for path in others[keep - 1 :]:
        path.unlink(missing_ok=True)


def meta_of(checkpoint: Path) -> dict[str, Any]:
    """Return the metadata of a complete checkpoint: "iter", "run", "sessions", ..."""
    return _load(checkpoint)["meta"]


def delete_checkpoints(work_dir: Path, out: Path) -> None:
    """Delete the intermediate checkpoints of a finished run."""
    for each in checkpoints(work_dir, out):
        if _is_own(each, work_dir):
            each.path.unlink()
    (work_dir / POINTER).unlink(missing_ok=True)


_DAMAGED, _NOT_FINITE = "is damaged", "contains NaN or inf"


def _problem(checkpoint: Checkpoint) -> str | None:
    """Return why a training cannot continue from a checkpoint; None if it can."""
    if checkpoint.is_damaged:
        return _DAMAGED
    try:
        content = _load(checkpoint.path)
        check_state({part: content.get(part) for part in ("state_dict", "optimizer")})
    except NotFiniteError:
        return _NOT_FINITE
    except Exception:  # torch raises many exceptions for a damaged file
        return _DAMAGED
    return None


def _read(path: Path) -> Checkpoint:
    try:
        meta = meta_of(path)
        return Checkpoint(path, int(meta["iter"]), meta.get("run"))
    except Exception:  # torch raises many exceptions for a damaged file
        return Checkpoint(path, -1, None)


def _load(path: Path) -> dict[str, Any]:
    return read_checkpoint(path)


def _is_ours(work_dir: Path) -> bool:
    return any((work_dir / name).is_file() for name in (SETTINGS, FIRST_EDITION))


def _is_own(checkpoint: Checkpoint, work_dir: Path) -> bool:
    """Tell whether a run here wrote a checkpoint; earlier versions did not mark theirs."""
    if checkpoint.is_damaged:
        return _is_ours(work_dir)
    return checkpoint.run is not None or (work_dir / FIRST_EDITION).is_file()


def _refuse_other_files(work_dir: Path, out: Path) -> None:
    """Refuse a folder with files that have our names but were not written by a run here."""
    others = [each.path for each in checkpoints(work_dir, out) if not _is_own(each, work_dir)]
    if not _is_ours(work_dir):
        others += [p for name in (POINTER, *KEPT) if (p := work_dir / name).exists() and p != out]
    if others:
        got = f"{shown_path(work_dir)} with {others[0].name}, which no training here wrote"
        fix = "move that file or choose another --work-dir"
        raise InputError("a work directory used only by this command", got, fix)


def _has_run(work_dir: Path, out: Path) -> bool:
    """Tell whether there is a run: a checkpoint, or the weights of a finished run."""
    finished = any((work_dir / name).exists() for name in KEPT[:2])
    return finished or bool(checkpoints(work_dir, out))


def _changes(work_dir: Path, settings: dict[str, Any], first_edition: str) -> str:
    """Return how the run in ``work_dir`` differs from ``settings``; "" if it is the same."""
    if (work_dir / SETTINGS).is_file():
        try:
            old = read_json(work_dir / SETTINGS)["settings"]
        except (InputError, KeyError, TypeError):
            return f"{SETTINGS} is damaged"
        return differences(old, settings)
    same = (work_dir / FIRST_EDITION).read_text(errors="replace").strip() == first_edition
    return "" if same else "written by an earlier version, with other settings or other paths"


def _state(work_dir: Path, out: Path) -> list[Path]:
    names = (POINTER, *KEPT, SCHEDULE, STATE, EVENTS, SETTINGS, FIRST_EDITION)
    own = [each.path for each in checkpoints(work_dir, out) if _is_own(each, work_dir)]
    files = own + [work_dir / name for name in names]
    return [path for path in files if path.exists() and path.resolve() != out.resolve()]


def _delete(work_dir: Path, out: Path) -> None:
    for path in _state(work_dir, out):
        if path.name != EVENTS:
            path.unlink()
            continue
        for events in path.glob("events.out.tfevents.*"):
            events.unlink()
        with suppress(OSError):  # files of the user are in it
            path.rmdir()


def _set_aside(work_dir: Path, out: Path, changes: str) -> None:
    number = 1
    while (work_dir / f"old-{number}").exists():
        number += 1
    folder = work_dir / f"old-{number}"
    state = _state(work_dir, out)
    folder.mkdir()
    for path in state:
        path.rename(folder / path.name)
    print(
        f"the settings changed ({changes}); the previous training was moved to {folder}",
        file=sys.stderr,
    )
