"""Which Snakemakes live in a folder; what a killed one locked there is unlocked.

Snakemake writes the names of its files into ``.snakemake/locks`` and removes them at its end. One
that is killed leaves them, and the next one refuses to start: the locks do not say whose they are.
So each one that reads our Snakefile holds a folder of its own below ``.snakemake/rankdet``, with
the lock that a training holds in its work directory.
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

from rankdet.cluster.lock import GUARD, NAME, SILENCE, held, living_holder
from rankdet.files import read_json

RECORDS = Path(".snakemake", "rankdet")
LOCKS = Path(".snakemake", "locks")  # of Snakemake itself


def begin(folder: str | Path, silence: float = SILENCE) -> ExitStack:
    """Note that this process is a Snakemake in ``folder``; remove the locks that dead ones left.

    Where another one lives, all locks stay: Snakemake itself then refuses what both would write,
    and a line on standard error says who the other one is.

    Args:
        folder: where Snakemake works.
        silence: seconds without a sign of life after which one on another machine is dead.

    Returns:
        What ends the note when it is closed; the end of the process closes it too.
    """
    noted = ExitStack()
    folder = Path(folder)
    with suppress(PermissionError), _one_at_a_time(folder):
        living = _dead_removed(folder, silence)
        for each in living:
            job = f", Slurm job {each['job']}" if each["job"] else ""
            print(
                f"rankdet: another Snakemake works in this folder: process {each['pid']} on "
                f"{each['host']}{job}. The files that it makes are refused here: wait for it.",
                file=sys.stderr,
            )
        own = folder / RECORDS / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        noted.callback(lambda: shutil.rmtree(own, ignore_errors=True))
        noted.enter_context(held(own))
    atexit.register(noted.close)
    return noted


def _dead_removed(folder: Path, silence: float) -> list[dict[str, Any]]:
    """Return the Snakemakes that live; if none does, remove what those before left."""
    living, dead = [], []
    for record in sorted((folder / RECORDS).iterdir()):
        if record.is_dir():
            _announce_wait(record, silence)
            holder = living_holder(record, silence)
            if holder is not None:
                living.append(holder)
            elif (record / NAME).exists() or _age(record) > silence:
                dead.append(record)
            # else one on another machine that has not come to write its name
    # Locks without a note are of an older version, and may be of one that lives.
    if dead and not living:
        locks = folder / LOCKS
        if locks.is_dir() and any(locks.iterdir()):
            print("rankdet: removed the locks of a Snakemake that was killed", file=sys.stderr)
        shutil.rmtree(locks, ignore_errors=True)
        for record in dead:
            shutil.rmtree(record, ignore_errors=True)
    return living


def _announce_wait(record: Path, silence: float) -> None:
    with suppress(Exception):
        holder = read_json(record / NAME)
        if holder["host"] != socket.gethostname():
            print(
                f"rankdet: looking up to {silence:.0f} s whether a Snakemake on {holder['host']} "
                "still lives",
                file=sys.stderr,
            )


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process of this machine look and note itself at a time."""
    (folder / RECORDS).mkdir(parents=True, exist_ok=True)
    with (folder / RECORDS / GUARD).open("a") as stream:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
