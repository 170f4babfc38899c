"""The records of a training: its sessions, and the files that stay when it has finished.

The two checkpoints to resume from include the optimizer state and take six times the space of the
published weights. After the training they are deleted. The published file stays under a second
name, as a hard link if possible: if Snakemake is killed before it registers the end of the job, it
deletes the outputs, and the run then publishes them again instead of training for days.
No torch here.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import atomic_path, part_beside, shown_path, write_json, write_text
from rankdet.times import utc_now

# Files in the work directory of a finished run.
WEIGHTS, RECORD, CURVES = "finished.pth", "finished.json", "training.jsonl"
BESIDE = ("run.json", CURVES)  # what a training writes next to its checkpoint


def is_finished(work_dir: str | Path) -> bool:
    """Tell whether a run finished in ``work_dir``."""
    return all((Path(work_dir) / name).exists() for name in (WEIGHTS, RECORD, CURVES))


def record_of(work_dir: Path) -> dict | None:
    """Return the record of the run that finished in ``work_dir``; None if none did."""
    if is_finished(work_dir):
        return read_json(work_dir / RECORD, "the record of a finished run")
    return None


def write_records(work_dir: Path, folder: Path, record: dict) -> None:
    """Write ``run.json`` and ``training.jsonl`` of the run in ``work_dir`` into ``folder``."""
    write_json(folder / "run.json", record)
    write_text(folder / "training.jsonl", (work_dir / CURVES).read_text(encoding="utf-8"))


def write_again(work_dir: Path, folder: Path, entry: str, preset: str) -> None:
    """Write the records of a finished run next to its checkpoint again.

    Raises:
        InputError: if no run, or one of another entry or preset, finished in ``work_dir``.
    """
    expected = f"a finished training of {entry}, preset {preset}, in {shown_path(work_dir)}"
    fix = "train it again, or copy run.json and training.jsonl from a backup"
    record = record_of(work_dir)
    if record is None:
        raise InputError(expected, "none", fix)
    found = (record.get("entry"), record.get("preset"))
    if found != (entry, preset):
        raise InputError(expected, f"one of {found[0]}, preset {found[1]}", fix)
    write_records(work_dir, folder, record)


class Sessions:
    """Iterations and time of each session of a run.

    They are stored in every checkpoint. Iterations after the last checkpoint of a session were lost
    and do not count.

    Args:
        before: earlier sessions, from the checkpoint that this one continues from.
        first: the iteration at which this one starts.
        about: further facts about this session: machine, threads, processes, passes.
    """

    def __init__(
        self, before: Sequence[Mapping[str, Any]], first: int, about: Mapping[str, Any]
    ) -> None:
        self._before = [dict(each) for each in before]
        if self._before and self._before[-1]["ended"] is None:
            self._before[-1]["ended"] = "without notice"
        self._start = time.monotonic()
        self._own = {
            "started": utc_now(),
            "from": first,
            "to": first,
            "seconds": 0.0,
            "ended": None,
            **about,
        }

    def reach(self, iteration: int, ended: str | None = None) -> None:
        """Record that this session has reached ``iteration``, and why it ends if it does."""
        seconds = round(time.monotonic() - self._start, 1)
        self._own.update(to=iteration, seconds=seconds, ended=ended)

    def as_plain(self) -> list[dict[str, Any]]:
        """Return all sessions as plain values, this one last."""
        return [*self._before, dict(self._own)]

    @property
    def seconds(self) -> float:
        """The total time of all sessions."""
        return round(sum(each["seconds"] for each in self.as_plain()), 1)


def keep(work_dir: Path, checkpoint: Path, record: dict) -> None:
    """Keep the published ``checkpoint`` and the ``record`` of its run in the work directory."""
    _give_second_name(checkpoint, work_dir / WEIGHTS)
    write_json(work_dir / RECORD, record)  # the run counts as finished from here on
    _complete(work_dir, checkpoint, record)


def publish_again(work_dir: Path, checkpoint: Path, record: dict) -> None:
    """Publish the files that :func:`keep` kept."""
    _give_second_name(work_dir / WEIGHTS, checkpoint)
    checkpoint.touch()  # a link has the old time stamp, which Snakemake would consider outdated
    _complete(work_dir, checkpoint, record)


def _complete(work_dir: Path, checkpoint: Path, record: dict) -> None:
    from rankdet.training.work_dir import delete_checkpoints  # imports torch

    write_records(work_dir, checkpoint.parent, record)
    delete_checkpoints(work_dir, checkpoint)


def _give_second_name(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        link = part_beside(target)
        try:
            link.hardlink_to(source)
            link.replace(part)
        except OSError:  # another file system, or no hard links
            shutil.copyfile(source, part)
