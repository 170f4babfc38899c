"""How far a transfer is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

from rankdet.times import duration

LINE_SECONDS = 15.0  # between two lines where the stream is no terminal


class Progress:
    """Bytes, speed and time left of one file after the other; `advance` may come from threads.

    Args:
        stream: where it is shown; None shows nothing.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._total: int | None = None
        self._name, self._done, self._present = "", 0, 0
        self._start = self._last = 0.0

    def begin(self, name: str, total: int | None, present: int) -> None:
        """Start a file of ``total`` bytes, None if unknown; ``present`` of them are here."""
        self.end()
        self._name, self._total, self._done, self._present = name, total, present, present
        self._start = self._last = time.monotonic()
        if self._stream is not None and self._stream.isatty():
            columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
            console = Console(file=self._stream)
            self._bar = Bar(TextColumn("{task.description}"), *columns, console=console)
            self._bar.add_task(name, total=total, completed=present)
            self._bar.start()
        elif present:
            self._print(f"{name}: resumes at {decimal(present)}")

    def advance(self, count: int) -> None:
        """Add ``count`` bytes."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._done)
            elif time.monotonic() - self._last >= LINE_SECONDS:
                self._last = time.monotonic()
                self._print(self._line())

    def end(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.end()
        self._print(text)

    def _line(self) -> str:
        """Return name, bytes, speed and time left."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        speed = (self._done - self._present) / seconds
        text = f"{self._name}: {decimal(self._done)}"
        if self._total:
            text += f" of {decimal(self._total)} ({100 * self._done / self._total:.0f} %)"
        text += f", {decimal(round(speed))}/s"
        if self._total and speed > 0:
            text += f", {duration((self._total - self._done) / speed)} left"
        return text

    def _print(self, text: str) -> None:
        if self._stream is not None:
            print(text, file=self._stream, flush=True)
