"""Commands in forked processes, which have everything imported and so take seconds."""

from __future__ import annotations

import builtins
import errno
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

import rankdet.cli
import rankdet.models
import tests.reliability.runs  # noqa: F401
from rankdet.training.run import train  # noqa: F401

# Audit events before something of a file system changes.
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.chmod"}


def start(arguments: list[object], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """Run ``rankdet ARGUMENTS`` in a process of its own; return its id.

    Args:
        arguments: of the command.
        log: takes what it prints.
        before: called in the new process first, to prepare a fault.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        torch.set_num_threads(1)
        sys.argv = ["rankdet", *map(str, arguments)]
        before()
        rankdet.cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """Return the exit code of a child; the negative signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(arguments: list[object], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """Run a command to its end; return its exit code."""
    return wait(start(arguments, log, before))


def watch_changes(folder: Path, call: Callable[[int], None]) -> None:
    """Call ``call(n)`` in this process before its n-th change of a file below ``folder``."""
    count, process = 0, os.getpid()

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if os.getpid() != process:
            return
        if event == "open":
            is_change = isinstance(arguments[2], int) and arguments[2] & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
            )
        else:
            is_change = event in CHANGES
        paths = [str(each) for each in arguments[:2] if isinstance(each, (str, Path))]
        if is_change and any(path.startswith(str(folder)) for path in paths):
            count += 1
            call(count)

    sys.addaudithook(hook)


def kill_at_change(folder: Path, number: int) -> Callable[[], None]:
    """Return what lets a process die before its ``number``-th change of a file in ``folder``."""

    def die(count: int) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: watch_changes(folder, die)


def count_changes(folder: Path, out: Path) -> Callable[[], None]:
    """Return what lets a process write to ``out`` how many changes it has made."""
    descriptor = os.open(out, os.O_CREAT | os.O_WRONLY)

    def note(count: int) -> None:
        os.pwrite(descriptor, f"{count:8d}".encode(), 0)

    return lambda: watch_changes(folder, note)


def fail_writes(pattern: str, number: int, after: int = 0) -> Callable[[], None]:
    """Return what lets writing to files of a name fail, as a full or broken disk does.

    Args:
        pattern: of the name, or of the name of the temporary file that becomes it.
        number: of the error. EROFS and EACCES come when the file is opened; ENOSPC, EFBIG and EIO
            when half of the data is written.
        after: files of the name that are written well before.
    """
    expression, seen = re.compile(pattern), 0

    def error(path: object) -> OSError:
        return OSError(number, os.strerror(number), *([str(path)] if path else []))

    def is_turn(path: object) -> bool:
        nonlocal seen
        if not isinstance(path, (str, Path)) or not expression.search(Path(path).name):
            return False
        seen += 1
        return seen > after

    class Torn:
        """A file that takes half of what is written, then fails."""

        def __init__(self, stream) -> None:
            self.stream = stream

        def write(self, data) -> int:
            self.stream.write(data[: len(data) // 2])
            self.stream.flush()
            raise error(None)

        def __enter__(self):
            return self

        def __exit__(self, *exception) -> None:
            self.stream.close()

        def __getattr__(self, name):
            return getattr(self.stream, name)

    def install() -> None:
        own_open, own_os_open = builtins.open, os.open
        early = number in (errno.EROFS, errno.EACCES)

        def opened(file, mode="r", *arguments, **named):
            if any(letter in mode for letter in "wax+") and not early and is_turn(file):
                return Torn(own_open(file, mode, *arguments, **named))
            return own_open(file, mode, *arguments, **named)

        def os_opened(path, flags, *arguments, **named):
            if early and flags & (os.O_WRONLY | os.O_RDWR) and is_turn(path):
                raise error(path)
            return own_os_open(path, flags, *arguments, **named)

        builtins.open = io.open = opened
        os.open = os_opened
        if early:  # what is appended to is opened by name

            def append(file, mode="r", *arguments, **named):
                if "a" in mode and is_turn(file):
                    raise error(file)
                return own_open(file, mode, *arguments, **named)

            builtins.open = io.open = append

    return install
