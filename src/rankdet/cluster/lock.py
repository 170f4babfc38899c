"""A lock for work directories: one training at a time, and detection of dead owners.

If Snakemake is killed, its trainings keep running, on this machine or on another node. A second
training in the same work directory would overwrite the checkpoints of the first. On one machine a
kernel lock prevents that; between machines, a file with a heartbeat does.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankdet.cluster.slurm import is_queued
from rankdet.errors import InputError
from rankdet.hashing import content_sha256
from rankdet.outputs import try_lock, write_json

NAME = "running.json"
GUARD = "running.lock"  # the kernel releases the lock on it when the process ends
ORPHAN_SECONDS = 10.0  # time for the data-loading processes of a killed training to end
POLL_SECONDS = 1.0  # between two attempts while waiting for another training
HEARTBEAT = 15.0  # seconds between two updates of the file
# Without a heartbeat for this long, an owner whose state is unknown counts as dead.
TIMEOUT = 4 * HEARTBEAT


@contextmanager
def locked(
    work_dir: str | Path,
    heartbeat: float = HEARTBEAT,
    timeout: float = TIMEOUT,
    *,
    wait: bool = False,
) -> Iterator[None]:
    """Lock ``work_dir`` for this process while the body runs.

    Args:
        work_dir: of a training.
        heartbeat: seconds between two heartbeats.
        timeout: seconds without a heartbeat after which an owner whose state is unknown counts
            as dead.
        wait: wait for a running owner to end, instead of raising an error.

    Raises:
        InputError: if another running training has locked it.
    """
    with ExitStack() as stack:
        is_announced = False
        while True:
            try:
                stack.enter_context(_lock_once(work_dir, heartbeat, timeout))
                break
            except InputError as refusal:
                if not wait:
                    raise
                if not is_announced:
                    print(f"rankdet: waiting for {refusal.got}", file=sys.stderr, flush=True)
                is_announced = True
                time.sleep(POLL_SECONDS)
        yield


@contextmanager
def _lock_once(work_dir: str | Path, heartbeat: float, timeout: float) -> Iterator[None]:
    path = Path(work_dir) / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    own = _self()
    with _guarded(path) as is_guarded:
        _take(path, own, timeout, is_guarded)
        stop = threading.Event()
        thread = threading.Thread(target=_beat, args=(path, own, heartbeat, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            now = _read(path)
            if now is not None and _same(now, own):
                path.unlink(missing_ok=True)


def running_owner(work_dir: str | Path, timeout: float = TIMEOUT) -> dict[str, Any] | None:
    """Return the running owner of the lock as {"host", "pid", "job", ...}; None if there is none.

    Takes up to ``timeout`` seconds if the owner is on another machine.
    """
    path = Path(work_dir) / NAME
    owner = _read(path)
    if owner is not None and owner["host"] != socket.gethostname():
        return owner if _is_running(path, owner, timeout) else None
    descriptor, is_free = _try_guard(path.with_name(GUARD))
    os.close(descriptor)
    if is_free is None:  # no locks in this file system
        return owner if owner is not None and _is_running(path, owner, timeout) else None
    return None if is_free else owner or {**_self(), "pid": "unknown", "job": None}


@dataclass(frozen=True)
class Owner:
    """The process that a lock names.

    Attributes:
        host: its machine.
        pid: its number there.
        job: its Slurm job, if it has one.
        is_alive: whether it is running: on this machine, whether there is that process; on another
            one, whether its last heartbeat is recent.
    """

    host: str
    pid: int
    job: str | None
    is_alive: bool


def recorded_owner(work_dir: str | Path, timeout: float = TIMEOUT) -> Owner | None:
    """Return the owner that the lock of ``work_dir`` names; only reads, and does not wait.

    Use it to show a state. To decide whether a training may start, use :func:`running_owner`.

    Args:
        work_dir: of a training.
        timeout: age in seconds of the last heartbeat from which an owner on another machine counts
            as dead; the clocks of both machines should agree within it.
    """
    path = Path(work_dir) / NAME
    owner = _read(path)
    if owner is None:
        return None
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None  # removed since
    if owner["host"] == socket.gethostname():
        is_alive = owner["started"] is not None and _start_of(owner["pid"]) == owner["started"]
    else:
        is_alive = age < timeout
    job = None if owner["job"] is None else str(owner["job"])
    return Owner(str(owner["host"]), owner["pid"], job, is_alive)


@contextmanager
def _guarded(path: Path) -> Iterator[bool | None]:
    """Take the kernel lock, which only one running process of this machine can have.

    Yields:
        True if this process has it; False if another one has it; None if the file system does not
        support such locks.
    """
    guard = path.with_name(GUARD)
    end = time.monotonic() + ORPHAN_SECONDS
    descriptor, is_locked = _try_guard(guard)
    # A new owner may not have written its name yet; loading processes outlive a killed training.
    while is_locked is False and time.monotonic() < end and not _may_have_owner(path):
        os.close(descriptor)
        time.sleep(0.05)
        descriptor, is_locked = _try_guard(guard)
    try:
        yield is_locked
    finally:
        if is_locked:
            guard.unlink(missing_ok=True)
        os.close(descriptor)


def _try_guard(guard: Path) -> tuple[int, bool | None]:
    """Open ``guard`` and try to lock it."""
    while True:
        descriptor = os.open(guard, os.O_RDWR | os.O_CREAT, 0o666)
        if not (is_locked := try_lock(descriptor)):
            return descriptor, is_locked
        # The previous owner may have removed the file between our two steps.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(guard)):
                return descriptor, True
        os.close(descriptor)


def _may_have_owner(path: Path) -> bool:
    """Tell whether the recorded owner may be running, without waiting."""
    owner = _read(path)
    if owner is None:
        return False
    if owner["host"] != socket.gethostname():
        return True
    return bool(_start_of(owner["pid"]) == owner["started"])


def _take(path: Path, own: dict[str, Any], timeout: float, is_guarded: bool | None) -> None:
    """Write ``own`` as the owner, unless another one is running.

    The kernel lock may not be visible on other machines. So the file is created by one process
    only, and the file of a dead owner is replaced only by the process that has locked its
    replacement.
    """
    while True:
        content = _content(path)
        owner = _parsed(content)
        is_here = owner is None or owner["host"] == own["host"]
        if (is_here and is_guarded is False) or (owner and _is_running(path, owner, timeout)):
            raise _refusal(path.parent, owner)
        if content is None:
            if _created(path, own):
                return
            continue  # another process was faster: check which
        claim = path.with_name(f".{path.name}.{content_sha256(content)[:12]}.part")
        _take(claim, own, timeout, None)
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
        except OSError:  # the file system does not support hard links
            with suppress(FileExistsError), path.open("x", encoding="utf-8") as stream:
                stream.write(json.dumps(own))
                return True
            return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _refusal(work_dir: Path, owner: dict[str, Any] | None) -> InputError:
    got, stop = "another process, which is still running", ""
    if owner is not None:
        job = f", Slurm job {owner['job']}" if owner["job"] else ""
        got = f"process {owner['pid']} on {owner['host']}{job}, which is still running"
        command = f"scancel {owner['job']}" if owner["job"] else f"kill {owner['pid']}"
        stop = f", or stop it ({command}) and run this command again with --resume"
    return InputError(f"no other training in {work_dir}", got, f"wait for it{stop}")


def _self() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _start_of(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
        "beats": 0,
    }


def _beat(path: Path, own: dict[str, Any], heartbeat: float, stopped: threading.Event) -> None:
    while not stopped.wait(heartbeat):
        own = own | {"beats": own["beats"] + 1}
        with suppress(OSError):  # a full or slow disk must not end a training
            now = _read(path)
            if now is not None and not _same(now, own):
                return  # this machine was disconnected, and another one has taken the lock
            write_json(path, own)


def _is_running(path: Path, owner: dict[str, Any], timeout: float) -> bool:
    """Tell whether the owner is still running, by the most reliable evidence available."""
    own = _self()
    if owner["host"] == own["host"]:
        return owner["started"] is not None and _start_of(owner["pid"]) == owner["started"]
    if owner["job"] and owner["job"] == own["job"]:
        return False  # Slurm has moved this same job to another node
    if owner["job"] and is_queued(owner["job"]) is False:
        return False
    # On another machine: look for heartbeats, without comparing clocks.
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        time.sleep(min(1.0, timeout / 10))
        now = _read(path)
        if now is None:
            return False
        if now != owner:
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
        owner = json.loads(content or b"")
    except ValueError:
        return None
    return owner if isinstance(owner, dict) and {*_self()} <= set(owner) else None


def _start_of(pid: int) -> str | None:
    """Return the start time of a local process (boot clock ticks); None if it is not running."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
