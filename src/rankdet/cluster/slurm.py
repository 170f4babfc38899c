"""Slurm: jobs that an earlier Snakemake left in the queue, and the processes of one job.

If Snakemake is killed, its jobs keep running. The next Snakemake does not know them and would
submit the same trainings again. The jobs can be identified: Snakemake's executor writes rule and
wildcards to the comment, and the work directory is that of the workflow.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankdet.errors import InputError

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


# In an environment variable, because torchrun would read some options as its own abbreviations.
ARGUMENTS = "RANKDET_ARGUMENTS"


def is_launched() -> bool:
    """Return whether our launcher started this process."""
    # RANK alone is not enough: Slurm plug-ins, Kubeflow and others set it for single processes.
    return ARGUMENTS in os.environ and "RANK" in os.environ


def rank() -> int:
    """Return the rank of this process among the training processes."""
    return int(os.environ["RANK"]) if is_launched() else 0


def own_arguments() -> list[str] | None:
    """Return the command line passed by the launcher; None in any other process."""
    return json.loads(os.environ[ARGUMENTS]) if is_launched() else None


@contextmanager
def forwarding(forward: Callable[[int, Any], None]) -> Iterator[None]:
    """Handle the signals that stop a training with ``forward``; one that is ignored stays so."""
    before = {
        number: signal.signal(number, forward)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def launch(arguments: Sequence[str], processes: int, nodes: int = 1, threads: int = 1) -> int:
    """Run ``rankdet`` with ``arguments`` in ``processes`` processes; return the exit code."""
    environment = os.environ | {ARGUMENTS: json.dumps(list(arguments))}
    command = launcher(processes, nodes, threads)
    # In its own session: torchrun would kill its processes on Ctrl-C.
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    received: list[int] = []

    def forward(number: int, frame: object) -> None:
        if received and number == signal.SIGINT:
            os.killpg(child.pid, signal.SIGKILL)
        received.append(number)
        for process in _children(child.pid) or [child.pid]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    with forwarding(forward):
        code = child.wait()
    return 128 + received[0] if received and code else code


def _children(pid: int) -> list[int]:
    """Return the processes that the launcher ``pid`` started on this machine."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def launcher(processes: int, nodes: int = 1, threads: int = 1) -> list[str]:
    """Return the command of the launcher.

    Args:
        processes: over all nodes.
        nodes: of this process's Slurm job; 1 needs no Slurm.
        threads: processor threads on each node.

    Raises:
        InputError: if there is no Slurm job of several nodes to start processes in.
    """
    run = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes // nodes}"]
    if nodes == 1:
        return [*run, "--standalone", _script()]
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("srun") is None:
        raise InputError(
            f"a Slurm job of {nodes} nodes, with srun", "none", "train on one node: --nodes 1"
        )
    # This process runs on the first node of the job. Two jobs on one node need two ports.
    meeting = f"{socket.gethostname()}:{20000 + int(job) % 20000}"
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    srun += [f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
    join = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={meeting}"]
    return [*srun, *run, *join, f"--rdzv-id={job}", _script()]


def _script() -> str:
    """Return the path of the ``rankdet`` command."""
    found = shutil.which("rankdet", path=os.path.dirname(sys.executable)) or shutil.which("rankdet")
    if found is None:
        raise InputError("the rankdet command", "none on PATH", "install the package")
    return found
