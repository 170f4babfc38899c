"""What a finished run leaves in its work directory, in a fraction of the room of a running one.

Checkpoints to resume from hold the optimizer's state too, and two are kept: six times what is
published. Nothing resumes from them any more. In their place stays the published file under a
second name, without a copy where the disk allows it: Snakemake deletes the outputs of a job that
it did not see end, and the same run then publishes them again instead of training for days.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rankdet.files import read_json
from rankdet.outputs import atomic_path, write_json, write_text
from rankdet.training.work_dir import delete_checkpoints

_WEIGHTS, _RECORD, _CURVES = "finished.pth", "finished.json", "training.jsonl"


def record_of(work_dir: Path) -> dict | None:
    """Return the record of the run that finished in ``work_dir``; None if none did."""
    if all((work_dir / name).exists() for name in (_WEIGHTS, _RECORD, _CURVES)):
        return read_json(work_dir / _RECORD, "the record of a finished run")
    return None


def keep(work_dir: Path, checkpoint: Path, record: dict) -> None:
    """Keep the published ``checkpoint`` and the ``record`` of its run for another time."""
    _give_second_name(checkpoint, work_dir / _WEIGHTS)
    write_json(work_dir / _RECORD, record)  # the run counts as finished from here on
    _complete(work_dir, checkpoint, record)


def publish_again(work_dir: Path, checkpoint: Path, record: dict) -> None:
    """Publish what :func:`keep` kept."""
    _give_second_name(work_dir / _WEIGHTS, checkpoint)
    checkpoint.touch()  # a link is as old as its file: Snakemake would find it out of date
    _complete(work_dir, checkpoint, record)


def _complete(work_dir: Path, checkpoint: Path, record: dict) -> None:
    write_json(checkpoint.parent / "run.json", record)
    write_text(checkpoint.parent / _CURVES, (work_dir / _CURVES).read_text())
    delete_checkpoints(work_dir, checkpoint)


def _give_second_name(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        part.unlink()
        try:
            part.hardlink_to(source)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, part)
