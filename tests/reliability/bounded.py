"""Call a function in a process of its own with bounded memory and time."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["rankdet.weights.checkpoint_files"])  # torch is imported once


def call(function, *arguments, megabytes: int = 256, seconds: float = 20) -> tuple[str, str]:
    """Return how the call ended: ("returned", value), (name of the exception, its message).

    A process that needs more memory beside what its imports take gets a MemoryError; one that needs
    more time is killed: ("killed", "").
    """
    ours, theirs = _SERVER.Pipe(duplex=False)
    process = _SERVER.Process(target=_run, args=(theirs, megabytes, function, arguments))
    process.start()
    theirs.close()
    start = time.monotonic()
    try:
        if ours.poll(seconds + 30):  # what the imports take does not count
            return ours.recv()
        return "killed", ""
    except EOFError:
        return "killed", ""
    finally:
        process.kill()
        process.join()
        assert time.monotonic() - start < seconds + 40


def _run(connection, megabytes, function, arguments):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        value = function(*arguments)
    except BaseException as error:
        connection.send((type(error).__name__, str(error)))
    else:
        connection.send(("returned", repr(value)))
