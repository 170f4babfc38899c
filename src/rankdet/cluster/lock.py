"""One training a work directory: who holds it, and whether that one still lives.

A killed Snakemake leaves its trainings running, on this machine or on another node. A second one
in the same work directory would write over the checkpoints of the first.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rankdet.cluster.queue import is_queued
from rankdet.errors import InputError
from rankdet.files import write_json

NAME = "running.json"
BEAT = 15.0  # seconds between two signs of life
SILENCE = (
    4 * BEAT
)  # without a sign of life for this long, a holder of whom nothing is known is dead


@contextmanager
def held(work_dir: str | Path, beat: float = BEAT, silence: float = SILENCE) -> Iterator[None]:
    """Hold ``work_dir`` for this process while the body runs.

    Raises:
        InputError: if another training that lives holds it.
    """
    path = Path(work_dir) / NAME
    holder = _read(path)
    if holder is not None and _lives(path, holder, silence):
        job = f", Slurm job {holder['job']}" if holder["job"] else ""
        stop = f"scancel {holder['job']}" if holder["job"] else f"kill {holder['pid']}"
        raise InputError(
            f"no other training in {work_dir}",
            f"process {holder['pid']} on {holder['host']}{job}, which still runs",
            f"wait for it, or stop it ({stop}) and run this again: it goes on from there",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    stop_beating = threading.Event()
    own = _self()
    write_json(path, own)
    thread = threading.Thread(target=_beat, args=(path, own, beat, stop_beating), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop_beating.set()
        thread.join()
        now = _read(path)
        if now is not None and _same(now, own):
            path.unlink(missing_ok=True)


def _self() -> dict:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "beats": 0,
    }


def _beat(path: Path, own: dict, beat: float, stopped: threading.Event) -> None:
    while not stopped.wait(beat):
        own = own | {"beats": own["beats"] + 1}
        with suppress(OSError):  # a full or slow disk is no reason to end a training
            write_json(path, own)


def _lives(path: Path, holder: dict, silence: float) -> bool:
    """Tell whether the holder still trains, by the surest sign there is."""
    own = _self()
    if holder["host"] == own["host"]:
        return holder["started"] is not None and _start_of(holder["pid"]) == holder["started"]
    if holder["job"] and holder["job"] == own["job"]:
        return False  # Slurm has put this very job on another node
    if holder["job"] and is_queued(holder["job"]) is False:
        return False
    # On another machine: look whether it gives signs of life, without comparing clocks.
    end = time.monotonic() + silence
    while time.monotonic() < end:
        time.sleep(min(1.0, silence / 10))
        now = _read(path)
        if now is None:
            return False
        if now != holder:
            return True
    return False


def _same(one: dict, other: dict) -> bool:
    return all(one[key] == other[key] for key in ("host", "pid", "started"))


def _read(path: Path) -> dict | None:
    try:
        holder = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return holder if isinstance(holder, dict) and {*_self()} <= set(holder) else None


def _start_of(pid: int) -> str | None:
    """Return when a process of this machine began (boot clock ticks); None if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
