"""One training a work directory: who holds it, and whether that one still lives.

A killed Snakemake leaves its trainings running, on this machine or on another node. A second one
in the same work directory would write over the checkpoints of the first. On one machine the
kernel's lock decides; between machines a file with signs of life does.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rankdet.cluster.queue import is_queued
from rankdet.errors import InputError
from rankdet.hashing import content_sha256
from rankdet.outputs import try_lock, write_json

NAME = "running.json"
GUARD = "running.lock"  # the kernel's lock on it ends with the process
ORPHANS = 10.0  # seconds in which the loading processes of a killed training end
PAUSE = 1.0  # seconds between two looks at a holder that is waited for
BEAT = 15.0  # seconds between two signs of life
# Without a sign of life for this long, a holder of whom nothing is known is dead.
SILENCE = 4 * BEAT


@contextmanager
def held(
    work_dir: str | Path, beat: float = BEAT, silence: float = SILENCE, *, wait: bool = False
) -> Iterator[None]:
    """Hold ``work_dir`` for this process while the body runs.

    Args:
        work_dir: of a training.
        beat: seconds between two signs of life.
        silence: seconds without one after which a holder of whom nothing is known is dead.
        wait: until a holder that lives has ended, instead of an error.

    Raises:
        InputError: if another training that lives holds it.
    """
    with ExitStack() as stack:
        is_told = False
        while True:
            try:
                stack.enter_context(_held(work_dir, beat, silence))
                break
            except InputError as refusal:
                if not wait:
                    raise
                if not is_told:
                    print(f"rankdet: waiting for {refusal.got}", file=sys.stderr, flush=True)
                is_told = True
                time.sleep(PAUSE)
        yield


@contextmanager
def _held(work_dir: str | Path, beat: float, silence: float) -> Iterator[None]:
    path = Path(work_dir) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    own = _self()
    with _guarded(path) as is_guarded:
        _take(path, own, silence, is_guarded)
        stop_beating = threading.Event()
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


def living_holder(work_dir: str | Path, silence: float = SILENCE) -> dict[str, Any] | None:
    """Return who holds ``work_dir`` and lives, as {"host", "pid", "job", ...}; None if nobody does.

    Takes up to ``silence`` seconds where the holder is on another machine.
    """
    path = Path(work_dir) / NAME
    holder = _read(path)
    if holder is not None and holder["host"] != socket.gethostname():
        return holder if _lives(path, holder, silence) else None
    descriptor, is_free = _locked(path.with_name(GUARD))
    os.close(descriptor)
    if is_free is None:  # no locks in this file system
        return holder if holder is not None and _lives(path, holder, silence) else None
    return None if is_free else holder or {**_self(), "pid": "unknown", "job": None}


@contextmanager
def _guarded(path: Path) -> Iterator[bool | None]:
    """Hold the kernel's lock: only one process of this machine can, and none that is dead.

    Yields:
        True if it is held; False if another process holds it; None if the file system has no such
        locks.
    """
    guard = path.with_name(GUARD)
    end = time.monotonic() + ORPHANS
    descriptor, is_held = _locked(guard)
    # Who has just begun has not written its name yet; loading processes outlive a killed training.
    while is_held is False and time.monotonic() < end and not _has_living_holder(path):
        os.close(descriptor)
        time.sleep(0.05)
        descriptor, is_held = _locked(guard)
    try:
        yield is_held
    finally:
        if is_held:
            guard.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(guard: Path) -> tuple[int, bool | None]:
    """Open ``guard`` and try to lock it."""
    while True:
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT, 0o666)
        if not (is_locked := try_lock(descriptor)):
            return descriptor, is_locked
        # The one before may have removed the file between our two steps.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(guard)):
                return descriptor, True
        os.close(descriptor)


def _has_living_holder(path: Path) -> bool:
    """Tell whether the written holder may live, as far as that is known at once."""
    holder = _read(path)
    if holder is None:
        return False
    if holder["host"] != socket.gethostname():
        return True
    return bool(_start_of(holder["pid"]) == holder["started"])


def _take(path: Path, own: dict[str, Any], silence: float, is_guarded: bool | None) -> None:
    """Write ``own`` as the holder, unless another one lives.

    The kernel's lock may not reach other machines. So a lock is created by one process only, and
    that of a dead holder is replaced only by who holds the lock on replacing this very one.
    """
    while True:
        content = _content(path)
        holder = _parsed(content)
        is_here = holder is None or holder["host"] == own["host"]
        if (is_here and is_guarded is False) or (holder and _lives(path, holder, silence)):
            raise _refusal(path.parent, holder)
        if content is None:
            if _created(path, own):
                return
            continue  # another one was quicker: look who
        claim = path.with_name(f".{path.name}.{content_sha256(content)[:12]}.part")
        _take(claim, own, silence, None)
        try:
            if _content(path) == content:
                write_json(path, own)
                return
        finally:
            claim.unlink(missing_ok=True)


def _created(path: Path, own: dict[str, Any]) -> bool:
    """Create the lock with its content in one step; False if there is one already."""
    part = path.with_name(f".{path.name}.{own['pid']}.{secrets.token_hex(4)}.part")
    try:
        part.write_text(json.dumps(own), encoding="utf-8")
        try:
            os.link(part, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with suppress(FileExistsError), path.open("x", encoding="utf-8") as stream:
                stream.write(json.dumps(own))
                return True
            return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _refusal(work_dir: Path, holder: dict[str, Any] | None) -> InputError:
    got, stop = "another process, which still runs", ""
    if holder is not None:
        job = f", Slurm job {holder['job']}" if holder["job"] else ""
        got = f"process {holder['pid']} on {holder['host']}{job}, which still runs"
        command = f"scancel {holder['job']}" if holder["job"] else f"kill {holder['pid']}"
        stop = f", or stop it ({command}) and run this again with --resume"
    return InputError(f"no other training in {work_dir}", got, f"wait for it{stop}")


def _self() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "beats": 0,
    }


def _beat(path: Path, own: dict[str, Any], beat: float, stopped: threading.Event) -> None:
    while not stopped.wait(beat):
        own = own | {"beats": own["beats"] + 1}
        with suppress(OSError):  # a full or slow disk is no reason to end a training
            now = _read(path)
            if now is not None and not _same(now, own):
                return  # this machine was cut off, and another one has taken over
            write_json(path, own)


def _lives(path: Path, holder: dict[str, Any], silence: float) -> bool:
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


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("host", "pid", "started"))


def _read(path: Path) -> dict[str, Any] | None:
    return _parsed(_content(path))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    try:
        holder = json.loads(content or b"")
    except ValueError:
        return None
    return holder if isinstance(holder, dict) and {*_self()} <= set(holder) else None


def _start_of(pid: int) -> str | None:
    """Return when a process of this machine began (boot clock ticks); None if it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
