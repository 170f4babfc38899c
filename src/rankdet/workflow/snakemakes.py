"""Detect the running Snakemake processes of a folder, and remove stale Snakemake locks.

Snakemake writes the names of its files into ``.snakemake/locks`` and removes them when it ends. If
it is killed, the locks remain and the next Snakemake refuses to start, because the locks do not say
which process they belong to. So each Snakemake that reads our Snakefile keeps a folder of its own
in ``.snakemake/rankdet``, with the same lock as a training in its work directory.

Also here: Snakemake's default rate of starts, which has no option to turn it off.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rankdet.cluster.lock import GUARD, NAME, TIMEOUT, locked, running_owner
from rankdet.files import read_json

RECORDS = Path(".snakemake", "rankdet")
LOCKS = Path(".snakemake", "locks")  # written by Snakemake itself


def begin(folder: str | Path, timeout: float = TIMEOUT) -> ExitStack:
    """Record that this process is a Snakemake in ``folder``; remove the locks of dead processes.

    If another Snakemake is running, all locks stay: Snakemake itself then refuses the files that
    both would write, and a line on standard error names the other process.

    Args:
        folder: where Snakemake works.
        timeout: seconds without a heartbeat after which a process on another machine counts as
            dead.

    Returns:
        A stack that removes the record when it is closed; the end of the process closes it too.
    """
    record = ExitStack()
    folder = Path(folder)
    with suppress(PermissionError), _one_at_a_time(folder):
        running = _remove_dead(folder, timeout)
        for each in running:
            job = f", Slurm job {each['job']}" if each["job"] else ""
            print(
                f"rankdet: another Snakemake is running in this folder: process {each['pid']} on "
                f"{each['host']}{job}. The files that it writes are refused here: wait for it.",
                file=sys.stderr,
            )
        own = folder / RECORDS / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        record.callback(lambda: shutil.rmtree(own, ignore_errors=True))
        record.enter_context(locked(own))
    atexit.register(record.close)
    return record


def _remove_dead(folder: Path, timeout: float) -> list[dict[str, Any]]:
    """Return the running Snakemake processes; if there are none, remove what dead ones left."""
    running, dead = [], []
    for record in sorted((folder / RECORDS).iterdir()):
        if record.is_dir():
            _announce_wait(record, timeout)
            owner = running_owner(record, timeout)
            if owner is not None:
                running.append(owner)
            elif (record / NAME).exists() or _age(record) > timeout:
                dead.append(record)
            # else a process on another machine that has not written its name yet
    # Locks without a record are of an older version, whose process may be running.
    if dead and not running:
        locks = folder / LOCKS
        if locks.is_dir() and any(locks.iterdir()):
            print("rankdet: removed the locks of a Snakemake that was killed", file=sys.stderr)
        shutil.rmtree(locks, ignore_errors=True)
        for record in dead:
            shutil.rmtree(record, ignore_errors=True)
    return running


def _announce_wait(record: Path, timeout: float) -> None:
    with suppress(Exception):
        owner = read_json(record / NAME)
        if owner["host"] != socket.gethostname():
            print(
                f"rankdet: checking for up to {timeout:.0f} s whether a Snakemake on "
                f"{owner['host']} is still running",
                file=sys.stderr,
            )


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of this machine at a time check the records and add its own."""
    (folder / RECORDS).mkdir(parents=True, exist_ok=True)
    with (folder / RECORDS / GUARD).open("a") as stream:
        with suppress(OSError):  # the file system does not support locks
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


DEFAULT_RATE = (100, 1)  # of Snakemake: --max-jobs-per-timespan 100/1s


def remove_default_rate(workflow: Any) -> None:
    """Let jobs start as soon as they are ready, unless the user gave a rate.

    With a rate, each finished job adds one more look at all ready jobs in every timespan, until
    none is ready (snakemake, pull request 3744). After 80 of the 765 jobs of a study, Snakemake
    took a third of a core.

    Args:
        workflow: the object of this name in a Snakefile, when its scheduler has been made.
    """
    rate = workflow.scheduler.job_rate_limiter
    if rate is not None and (rate.max_jobs, rate.timespan) == DEFAULT_RATE:
        workflow.scheduler.job_rate_limiter = None
