"""Start and end of the process that sends a training's record to trackers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

import rankdet
from rankdet.training import follower
from rankdet.training.processes import is_first

LIMIT = follower.LIMIT + 10  # seconds that the end of a training waits for the last points


class Tracking(Hook):
    """Follow the record of a training with trackers, in a process of its own.

    Use it as a context around ``runner.train()``.

    Args:
        names: of the trackers; none starts no process.
        record: ``training.jsonl`` in the work directory.
        about: entry, preset, seed, ... of the run.
    """

    priority = "LOWEST"  # when the record has dropped the lines that will be repeated

    def __init__(self, names: Sequence[str], record: Path, about: dict[str, Any]) -> None:
        self.names, self.record, self.about = tuple(names), record, about
        self._process: subprocess.Popen[bytes] | None = None

    def before_train(self, runner: Any) -> None:
        """Start the process."""
        if not self.names or not is_first():
            return
        order = {
            "trackers": self.names,
            "work_dir": str(self.record.parent),
            "record": str(self.record),
            "iteration": runner.iter,
            "about": self.about | {"iterations": runner.max_iters},
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", follower.__name__, json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=_screen(),
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the training
            )
        except OSError as error:
            _warn(f"the trackers did not start ({error})")

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        word = b"finished\n" if kind is None else b"stopped\n"
        with suppress(OSError, subprocess.TimeoutExpired):
            self._process.communicate(word, timeout=LIMIT)
        code = self._process.poll()
        if code is None:
            self._process.kill()
            self._process.wait()
            _warn(f"the process of the trackers did not end within {LIMIT:.0f} s")
        elif code:
            _warn(f"the process of the trackers ended with exit code {code}")


def _screen() -> int:
    """Return the descriptor of the screen, which is not standard error if that goes to a log."""
    try:
        return sys.stderr.fileno()
    except (OSError, AttributeError, ValueError):
        return 2


def _environment() -> dict[str, str]:
    """Return the environment, with the folder that this package was imported from."""
    folder = str(Path(rankdet.__file__).parents[1])
    paths = [folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def _warn(text: str) -> None:
    print(f"rankdet: warning: {text}; the training is not affected", file=sys.stderr)
