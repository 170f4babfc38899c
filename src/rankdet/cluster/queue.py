"""What Slurm's queue says of jobs that an earlier Snakemake left there.

A Snakemake that is killed leaves its jobs running. The next one does not know them and would submit
the same trainings again, beside those that still run. Its executor names every job: the comment
holds rule and wildcards, the work directory is the workflow's.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 20.0  # seconds for an answer
_ROW = re.compile(
    r"(?P<job_id>[0-9]+(_[0-9]+)?)\|(?P<state>[A-Z_]+)\|(?P<work_dir>.*)\|(?P<comment>rule_.*)"
)
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits or runs.

    Attributes:
        job_id: Slurm's number.
        state: in Slurm's words.
        comment: rule and wildcards.
    """

    job_id: str
    state: str
    comment: str


def comment_of(rule: str, wildcards: Iterable[str]) -> str:
    """Return the comment that Snakemake's Slurm executor gives a job."""
    values = "_".join(wildcards).replace("/", "_")
    return f"rule_{rule}_wildcards_{values}" if values else f"rule_{rule}"


def left_over(folder: str | Path) -> list[QueuedJob]:
    """Return this user's jobs of the workflow in ``folder`` that wait or run."""
    folder = str(Path(folder).resolve())
    said = _squeue("--user", getpass.getuser(), "--format", "%i|%T|%Z|%k") or ""
    # A comment of another job may hold a line break; only whole lines are rows.
    rows = filter(None, map(_ROW.fullmatch, said.splitlines()))
    return [
        QueuedJob(row["job_id"], row["state"], row["comment"])
        for row in rows
        if row["work_dir"] == folder
    ]


def is_queued(job_id: str) -> bool | None:
    """Return whether a job still waits or runs; None where nobody can be asked."""
    said = _squeue("--format", "%i")
    return None if said is None else job_id in said.split()


def seconds_left() -> float | None:
    """Return how long this process's job may still run; None without a job or a limit."""
    job = os.environ.get("SLURM_JOB_ID")
    said = _squeue("--job", job, "--format", "%L") if job else None
    return None if said is None else duration(said.strip())


def duration(text: str) -> float | None:
    """Return the seconds of Slurm's [days-][[hours:]minutes:]seconds; None if it is no time."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24.0 + hours) * 60 + minutes) * 60 + seconds


def cancel_waiting(jobs: Iterable[QueuedJob]) -> list[QueuedJob]:
    """Cancel those of ``jobs`` that have not begun, and return them; there is nothing to lose."""
    waiting = [job for job in jobs if job.state in WAITING]
    if waiting:
        ids = [job.job_id for job in waiting]
        # By state again: one that has begun since keeps running.
        subprocess.run(["scancel", "--state=PENDING", *ids], check=False)
    return waiting


def hold_for(jobs: Iterable[QueuedJob], comment: str) -> str | None:
    """Return sbatch's option to begin after predecessors with this comment; None if none."""
    ids = [job.job_id for job in jobs if job.comment == comment]
    return f"--dependency=afterany:{':'.join(ids)}" if ids else None


def _squeue(*options: str) -> str | None:
    """Return what squeue says; None where there is none, or it does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", *options]
    try:
        run = subprocess.run(
            command,
            text=True,
            errors="replace",
            capture_output=True,
            check=False,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return None
    return None if run.returncode else run.stdout
