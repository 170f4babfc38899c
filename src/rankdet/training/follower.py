"""The process that sends a training's record to trackers.

It follows ``training.jsonl``, with a thread per tracker. It shares neither random numbers nor time
with the training, so it cannot change, delay or stop it. If the training is killed, it sends the
last lines and ends.
``trackers.json`` in the work directory says what was sent, so that a resumed training neither
repeats nor omits a point. No torch here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rankdet.errors import InputError, one_line
from rankdet.files import read_json
from rankdet.outputs import try_lock, write_json
from rankdet.training.trackers import KINDS, STATE, Point, Session, Tracker

SECONDS = 2.0  # between two looks at the record
LIMIT = 25.0  # for the last points at the end
WAIT = 2 * LIMIT  # for the process of an earlier session to end


class Lines:
    """The lines that were appended to a record since the last look.

    Args:
        path: of the record; it only grows while this reads it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._offset = path, 0

    def new(self) -> list[Point]:
        """Return the new lines; an incomplete one is returned when it is complete."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return []
        whole = text.rpartition(b"\n")[0]
        if not whole:
            return []
        self._offset += len(whole) + 1
        return list(_points(whole.split(b"\n")))


def _points(lines: Iterable[bytes]) -> Iterator[Point]:
    for line in lines:
        try:
            row = json.loads(line)
            iteration = row.pop("iteration")
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # rankdet status and the report say so
        kind = "train" if "lr" in row or "loss" in row else "val"
        values = {key: value for key, value in row.items() if isinstance(value, (int, float))}
        if type(iteration) is int and values:
            yield Point(kind, iteration, values)


class State:
    """What was sent to each tracker, in ``trackers.json`` of the work directory."""

    def __init__(self, work_dir: Path) -> None:
        self.path = work_dir / STATE
        self._lock = threading.Lock()
        self._sent = _read(self.path)

    def of(self, name: str) -> dict[str, Any]:
        """Return what was sent to a tracker."""
        return dict(self._sent.get(name, {}))

    def write(self, name: str, sent: dict[str, Any]) -> None:
        """Write the file; a failure costs repeated points after a resume, no more."""
        with self._lock, suppress(OSError):
            self._sent[name] = dict(sent)
            write_json(self.path, self._sent)


class Follower(threading.Thread):
    """Sends a record to one tracker; a failure is reported and ends it.

    Args:
        name: of the tracker.
        session: of the training.
        record: the file to follow.
        state: what was sent.
        warn: prints a line for the user.
    """

    def __init__(
        self,
        name: str,
        session: Session,
        record: Path,
        state: State,
        warn: Callable[[str], object],
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.session, self.lines, self.state, self.warn = session, Lines(record), state, warn
        self._word, self._ended = "", threading.Event()

    def end(self, word: str) -> None:
        """Tell it that the training has ended: "finished" if it is complete."""
        self._word = word
        self._ended.set()

    def run(self) -> None:
        """Follow until the training has ended."""
        try:
            tracker = KINDS[self.name].start(self.session)
            self.state.write(self.name, self.session.sent)  # the id of a new run
            is_over = False
            while not is_over:
                is_over = self._ended.wait(SECONDS)  # before the lines are read: none is missed
                self._send(tracker, [each for each in self.lines.new() if tracker.is_new(each)])
            tracker.close(self._word == "finished")
        except BaseException as error:  # a library may raise anything, SystemExit too
            reason = one_line(f"{type(error).__name__}: {error}")
            self.warn(f"{self.name} failed ({reason}); the training continues without it")

    def _send(self, tracker: Tracker, points: list[Point]) -> None:
        if not points:
            return
        tracker.send(points)
        # The last one of a kind counts.
        self.session.sent.update({each.kind: each.iteration for each in points})
        self.state.write(self.name, self.session.sent)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (InputError, OSError):
        return {}
    is_whole = isinstance(content, dict) and all(isinstance(v, dict) for v in content.values())
    return content if is_whole else {}


def follow(order: dict[str, Any], ended: Callable[[], str], warn: Callable[[str], object]) -> None:
    """Follow a training until ``ended()`` returns.

    Args:
        order: {"trackers", "work_dir", "record", "iteration", "about"}.
        ended: waits for the end; returns "finished" after a complete training.
        warn: prints a line for the user.
    """
    work_dir, state = Path(order["work_dir"]), State(Path(order["work_dir"]))
    followers = []
    for name in order["trackers"]:
        session = Session(work_dir, order["iteration"], order["about"], state.of(name))
        followers.append(Follower(name, session, Path(order["record"]), state, warn))
        followers[-1].start()
    word = ended()
    for each in followers:
        each.end(word)
    end = time.monotonic() + LIMIT
    for each in followers:
        each.join(max(0.0, end - time.monotonic()))
        if each.is_alive():
            warn(f"{each.name} did not take the last points within {LIMIT:.0f} s")


def main(order: dict[str, Any]) -> None:
    """Follow the training that started this process and tells its end on standard input."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # they are for the training, which tells the end
    screen = os.fdopen(os.dup(1), "w", buffering=1, errors="replace")
    os.dup2(2, 1)  # what the libraries print goes where the training's log goes

    def warn(text: str) -> None:
        with suppress(OSError):
            print(f"rankdet: warning: {text}", file=screen, flush=True)

    if _has_ended_before(order["work_dir"]):
        # Without a word, the training was killed.
        follow(order, lambda: os.read(0, 100).decode().strip() or "killed", warn)
    else:
        warn("the trackers of an earlier session have not ended; this one goes without")
    os._exit(0)  # not waiting for a tracker that hangs


def _has_ended_before(work_dir: str) -> bool:
    """Wait for the process of a killed session, which may still send; False if it does not end."""
    with suppress(OSError):
        folder = os.open(work_dir, os.O_RDONLY)
        end = time.monotonic() + WAIT
        while try_lock(folder) is False:  # None: no locks in this file system
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
    return True


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
