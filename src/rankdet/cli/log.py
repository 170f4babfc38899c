"""Full log to a file, short progress to the screen."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankdet.errors import InputError
from rankdet.outputs import write_failure


@contextmanager
def logged(path: Path | None) -> Iterator[None]:
    """Redirect the output of dependencies to ``path``; `sys.stderr` still goes to the screen.

    mmengine logs to stdout, compiled code to the file descriptors 1 and 2; both go to the file, so
    that the output of many trainings stays readable. A failure message gives the path of the file.
    """
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    encoding = getattr(sys.stderr, "encoding", None)
    screen = os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors="replace")
    saved = os.dup(1), os.dup(2)
    with path.open("ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    own, sys.stderr = sys.stderr, screen
    try:
        yield
    except (InputError, ModuleNotFoundError) as error:
        os.write(2, f"rankdet: error: {error}\n".encode(errors="replace"))
        raise
    except Exception as error:
        if write_failure(error) is not None:
            raise  # reported in one line; the log may be on the full disk
        os.write(2, traceback.format_exc().encode(errors="replace"))
        print(f"rankdet: {type(error).__name__}: {error}\n  full log: {path}", file=screen)
        raise SystemExit(1) from None
    finally:
        sys.stdout.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in saved:
            os.close(descriptor)
        sys.stderr = own
        screen.close()
