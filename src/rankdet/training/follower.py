"""The process that sends a training's record to trackers.

It follows ``training.jsonl``. It shares neither random numbers nor time with the training, so it
cannot change, delay or stop it. If the training is killed, it sends the last lines and ends.
``trackers.json`` in the work directory says what was sent, so that a resumed training neither
repeats nor omits a point. No torch here.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rankdet.errors import InputError, one_line
from rankdet.files import read_json
from rankdet.outputs import try_lock, write_json
from rankdet.training.trackers import KINDS, STATE, Point, Session, Tracker

SECONDS = 2.0  # between two looks at the record
WAIT = 60.0  # for the follower of an earlier session to end


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


class Follower:
    """Sends a record to trackers; one that fails is reported once and left out.

    Args:
        names: of the trackers.
        session: of the training; `sent` is read from the work directory.
        record: the file to follow.
        warn: prints a line for the user.
    """

    def __init__(
        self, names: Sequence[str], session: Session, record: Path, warn: Callable[[str], object]
    ) -> None:
        self.warn, self.state, self.lines = warn, session.work_dir / STATE, Lines(record)
        self.sent = _sent(self.state)
        self.trackers: dict[str, Tracker] = {}
        for name in names:
            own = self.sent.setdefault(name, {})
            about = Session(session.work_dir, session.iteration, session.about, own)
            self._try(name, lambda n=name, a=about: self.trackers.update({n: KINDS[n].start(a)}))

    def run(self, ended: Callable[[float], str | None]) -> None:
        """Follow until ``ended(seconds)`` returns a word: "finished" after a whole training."""
        word = None
        while word is None and self.trackers:
            word = ended(SECONDS)  # before the lines are read: none is missed
            self._send(self.lines.new())
        for name, tracker in list(self.trackers.items()):
            self._try(name, lambda t=tracker: t.close(word == "finished"))

    def _send(self, points: list[Point]) -> None:
        if not points:
            return
        for name, tracker in list(self.trackers.items()):
            new = [point for point in points if tracker.is_new(point)]
            if new and self._try(name, lambda t=tracker, p=new: t.send(p)):
                own = self.sent[name]
                for point in new:
                    own[point.kind] = max(point.iteration, own.get(point.kind, 0))
        with suppress(OSError):  # the folder may be what fails; the trackers report that
            write_json(self.state, self.sent)

    def _try(self, name: str, call: Callable[[], object]) -> bool:
        try:
            call()
        except BaseException as error:  # a library may raise anything, SystemExit too
            self.trackers.pop(name, None)
            reason = one_line(f"{type(error).__name__}: {error}")
            self.warn(
                f"rankdet: warning: {name} failed ({reason}); the training continues without it"
            )
            return False
        return True


def _sent(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (InputError, OSError):
        return {}
    is_whole = isinstance(content, dict) and all(isinstance(v, dict) for v in content.values())
    return content if is_whole else {}


def main(order: dict[str, Any]) -> None:
    """Follow the training that started this process; it tells the end through standard input.

    Args:
        order: {"trackers", "work_dir", "record", "iteration", "about"}.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # they are for the training, which tells the end
    screen = os.fdopen(os.dup(1), "w", buffering=1, errors="replace")
    os.dup2(2, 1)  # what the libraries print goes where the training's log goes
    work_dir = Path(order["work_dir"])

    def warn(line: str) -> None:
        with suppress(OSError):
            print(line, file=screen, flush=True)

    def ended(seconds: float) -> str | None:
        ready, _, _ = select.select([0], [], [], seconds)
        # Without a word, the training was killed.
        return None if not ready else os.read(0, 100).decode().strip() or "killed"

    with suppress(OSError):
        folder = os.open(work_dir, os.O_RDONLY)
        end = time.monotonic() + WAIT
        while try_lock(folder) is False:  # the follower of a killed session still sends
            if time.monotonic() > end:
                warn("rankdet: warning: the trackers of an earlier session have not ended")
                return
            time.sleep(0.1)
    session = Session(work_dir, order["iteration"], order["about"])
    Follower(order["trackers"], session, Path(order["record"]), warn).run(ended)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
