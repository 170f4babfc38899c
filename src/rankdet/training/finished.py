"""What a finished run leaves in its work directory, in a fraction of the room of a running one.

Checkpoints to resume from hold the optimizer's state too, and two are kept: six times what is
published. Nothing resumes from them any more. In their place stays the published file under a
second name, without a copy where the disk allows it: Snakemake deletes the outputs of a job that
it did not see end, and the same run then publishes them again instead of training for days.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rankdet.outputs import atomic_path, part_beside, write_json
from rankdet.training.records import RECORD, WEIGHTS, write_records
from rankdet.training.work_dir import delete_checkpoints


def keep(work_dir: Path, checkpoint: Path, record: dict) -> None:
    """Keep the published ``checkpoint`` and the ``record`` of its run for another time."""
    _give_second_name(checkpoint, work_dir / WEIGHTS)
    write_json(work_dir / RECORD, record)  # the run counts as finished from here on
    _complete(work_dir, checkpoint, record)


def publish_again(work_dir: Path, checkpoint: Path, record: dict) -> None:
    """Publish what :func:`keep` kept."""
    _give_second_name(work_dir / WEIGHTS, checkpoint)
    checkpoint.touch()  # a link is as old as its file: Snakemake would find it out of date
    _complete(work_dir, checkpoint, record)


def _complete(work_dir: Path, checkpoint: Path, record: dict) -> None:
    write_records(work_dir, checkpoint.parent, record)
    delete_checkpoints(work_dir, checkpoint)


def _give_second_name(source: Path, target: Path) -> None:
    with atomic_path(target) as part:
        link = part_beside(target)
        try:
            link.hardlink_to(source)
            link.replace(part)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, part)
