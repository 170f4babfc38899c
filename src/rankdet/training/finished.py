"""What stays in the work directory of a finished run.

The two checkpoints to resume from include the optimizer state and take six times the space of the
published weights. After the training they are deleted. The published file stays under a second
name, as a hard link if possible: if Snakemake is killed before it registers the end of the job, it
deletes the outputs, and the run then publishes them again instead of training for days.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rankdet.outputs import atomic_path, part_beside, write_json
from rankdet.training.records import RECORD, WEIGHTS, write_records
from rankdet.training.work_dir import delete_checkpoints


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
