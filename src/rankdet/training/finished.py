"""What a finished run leaves in its work directory, in a fraction of the room of a running one.

Checkpoints to go on from hold the optimiser's state too, and two are kept: six times what is
published. Nothing goes on from them any more. In their place stays the published file under a
second name, without a copy where the disk allows it: Snakemake deletes the outputs of a job that
it did not see end, and the same run then publishes them again instead of training for days.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from rankdet.files import atomic_path, read_json, write_json, write_text

_WEIGHTS, _RECORD, _CURVES = "finished.pth", "finished.json", "training.jsonl"
_ON_THE_WAY = re.compile(r"(iter|epoch|stopped)_\d+\.pth|last_checkpoint")


def record_of(work_dir: Path) -> dict | None:
    """Return the record of the run that finished in ``work_dir``; None if none did."""
    if all((work_dir / name).exists() for name in (_WEIGHTS, _RECORD, _CURVES)):
        return read_json(work_dir / _RECORD, "the record of a finished run")
    return None


def forget(work_dir: Path) -> None:
    """Make way for another run."""
    for name in (_RECORD, _WEIGHTS, _CURVES, "last_checkpoint"):
        (work_dir / name).unlink(missing_ok=True)


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
    for path in work_dir.iterdir():
        if _ON_THE_WAY.fullmatch(path.name) and path.resolve() != checkpoint.resolve():
            path.unlink()


def _give_second_name(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        part.unlink()
        try:
            part.hardlink_to(source)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, part)
