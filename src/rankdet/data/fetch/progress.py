"""How far a transfer is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

LINE_SECONDS = 15.0


class Progress:
    """Bytes, speed and time left of one file after the other; safe from several threads.

    Args:
        stream: where it is shown; None shows nothing.
        every: seconds between two lines if ``stream`` is no terminal.
    """

    def __init__(self, stream: TextIO | None, every: float = LINE_SECONDS) -> None:
        self._stream, self._every = stream, every
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self.name, self.total, self.done = "", None, 0
        self._start = self._last = 0.0
        self._present = 0

    def begin(self, name: str, total: int | None, present: int) -> None:
        """Start a file of which ``present`` bytes lie here already."""
        self.end()
        with self._lock:
            self.name, self.total, self.done, self._present = name, total, present, present
            self._start = self._last = time.monotonic()
            if self._stream is not None and self._stream.isatty():
                self._bar = Bar(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    DownloadColumn(binary_units=True),
                    TransferSpeedColumn(),
                    TimeRemainingColumn(),
                    console=Console(file=self._stream),
                )
                self._bar.add_task(name, total=total, completed=present)
                self._bar.start()
            elif present:
                self._print(f"{name}: goes on at {readable(present)}")

    def advance(self, count: int) -> None:
        """Note ``count`` more bytes."""
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], advance=count)
            elif time.monotonic() - self._last >= self._every:
                self._last = time.monotonic()
                self._print(self.line())

    def end(self) -> None:
        """Take the bar away."""
        with self._lock:
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    def say(self, text: str) -> None:
        """Print a line of its own."""
        self.end()
        self._print(text)

    def line(self) -> str:
        """Return name, bytes, speed and time left."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        speed = (self.done - self._present) / seconds
        text = f"{self.name}: {readable(self.done)}"
        if self.total:
            text += f" of {readable(self.total)} ({100 * self.done / self.total:.0f} %)"
        text += f", {readable(speed)}/s"
        if self.total and speed > 0:
            text += f", {span((self.total - self.done) / speed)} left"
        return text

    def _print(self, text: str) -> None:
        if self._stream is not None:
            print(text, file=self._stream, flush=True)


def readable(count: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def span(seconds: float) -> str:
    """Return a time as people read it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )
