"""Jobs in the Slurm queue that an earlier Snakemake left there.

If Snakemake is killed, its jobs keep running. The next Snakemake does not know them and would
submit the same trainings again. The jobs can be identified: Snakemake's executor writes rule and
wildcards to the comment, and the work directory is that of the workflow.
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
    """A pending or running job.

    Attributes:
        job_id: Slurm's job id.
        state: Slurm's job state.
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
    """Return this user's pending and running jobs of the workflow in ``folder``."""
    folder = str(Path(folder).resolve())
    output = _squeue("--user", getpass.getuser(), "--format", "%i|%T|%Z|%k") or ""
    # The comment of another job may contain a line break; only complete lines are rows.
    rows = filter(None, map(_ROW.fullmatch, output.splitlines()))
    return [
        QueuedJob(row["job_id"], row["state"], row["comment"])
        for row in rows
        if row["work_dir"] == folder
    ]


def is_queued(job_id: str) -> bool | None:
    """Return whether a job is pending or running; None if that is unknown."""
    output = _squeue("--format", "%i")
    return None if output is None else job_id in output.split()


def seconds_left() -> float | None:
    """Return the time left for this process's job; None without a job or a limit."""
    job = os.environ.get("SLURM_JOB_ID")
    output = _squeue("--job", job, "--format", "%L") if job else None
    return None if output is None else duration(output.strip())


def duration(text: str) -> float | None:
    """Return the seconds of Slurm's [days-][[hours:]minutes:]seconds; None if it is not a time."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(?:(\d+):)?(\d+):)?(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24.0 + hours) * 60 + minutes) * 60 + seconds


def cancel_waiting(jobs: Iterable[QueuedJob]) -> list[QueuedJob]:
    """Cancel those of ``jobs`` that have not started, and return them."""
    waiting = [job for job in jobs if job.state in WAITING]
    if waiting:
        ids = [job.job_id for job in waiting]
        # By state again: a job that has started in the meantime keeps running.
        subprocess.run(["scancel", "--state=PENDING", *ids], check=False)
    return waiting


def dependency_on(jobs: Iterable[QueuedJob], comment: str) -> str | None:
    """Return sbatch's option to start after the jobs with this comment; None if there are none."""
    ids = [job.job_id for job in jobs if job.comment == comment]
    return f"--dependency=afterany:{':'.join(ids)}" if ids else None


def _squeue(*options: str) -> str | None:
    """Return the output of squeue; None if it is missing, fails or does not respond."""
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
