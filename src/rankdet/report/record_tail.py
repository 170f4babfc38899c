"""The end of a training's record, ``training.jsonl``, while it is written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankdet.errors import InputError

WINDOW = 100  # iterations whose mean time is the pace
BLOCK = 1 << 18  # bytes that are read at once, from the end
LONGEST = 1 << 22  # bytes of a line; a longer one is not of a record


@dataclass
class Tail:
    """The end of a training's record.

    Attributes:
        iteration: the last one; None without a line.
        loss: of the last iteration that has one.
        times: seconds of the last iterations, at most `WINDOW`.
        validation: metrics of the last validation.
        validated_at: its iteration.
    """

    iteration: int | None = None
    loss: float | None = None
    times: list[float] = field(default_factory=list)
    validation: dict[str, float] = field(default_factory=dict)
    validated_at: int | None = None
    unreadable: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there was no line."""
        return self.iteration is None

    @property
    def pace(self) -> float | None:
        """Mean seconds of an iteration; None if no line has a time."""
        return math.fsum(self.times) / len(self.times) if self.times else None

    @property
    def has_steps(self) -> bool:
        """Whether no more iterations are needed."""
        return len(self.times) >= WINDOW

    def take(self, line: bytes) -> None:
        """Take the line before those taken so far."""
        if not line.strip() or (self.has_steps and not _may_be_validation(line)):
            return
        try:
            row = json.loads(line)
            iteration = row["iteration"]
        except (ValueError, TypeError, KeyError, RecursionError):
            self.unreadable += 1
            return
        if count(iteration) is None:
            self.unreadable += 1
            return
        if self.iteration is None:
            self.iteration = iteration
        numbers = {key: float(value) for key, value in row.items() if _is_number(value)}
        if "lr" in row or "loss" in row:
            self._take_step(numbers)
        elif self.validated_at is None:
            self.validation, self.validated_at = numbers, iteration

    def _take_step(self, numbers: Mapping[str, float]) -> None:
        if self.loss is None:
            self.loss = numbers.get("loss")
        seconds = numbers.get("time", math.nan)
        if math.isfinite(seconds) and seconds >= 0 and not self.has_steps:
            self.times.append(seconds)


def _may_be_validation(line: bytes) -> bool:
    return b'"AP"' in line or b'"oLRP"' in line


def _is_number(value: object) -> bool:
    """Tell whether a value is a number of a float's size; NaN is one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < 1e300 or value != value


def read_tail(path: Path) -> Tail:
    """Return the end of a record: its last `WINDOW` iterations and the last validation.

    Lines are read backwards from the end, in blocks: the time does not grow with the file, except
    in a long stretch without a validation.

    Raises:
        InputError: if the file has lines and none of them is readable.
    """
    tail, lines = Tail(), 0
    try:
        with path.open("rb") as stream:
            for line in _lines_backwards(stream, tail):
                tail.take(line)
                lines += 1
    except FileNotFoundError:
        return Tail()
    if tail.is_empty and tail.unreadable and lines > 1:  # the last one may be incomplete
        raise InputError(
            'lines like {"iteration": 10, "loss": 1.5}',
            f"{path} without one",
            "train the entry again",
        )
    return tail


def _lines_backwards(stream: Any, tail: Tail) -> Iterator[bytes]:
    """Yield the lines from the last to the first, until ``tail`` has all it needs."""
    start, rest = stream.seek(0, 2), b""
    while start > 0 and not (tail.has_steps and tail.validated_at is not None):
        end, start = start, max(0, start - BLOCK)
        stream.seek(start)
        block = stream.read(end - start) + rest[:LONGEST]
        if start and tail.has_steps and not _may_be_validation(block):
            rest = block.partition(b"\n")[0]
            continue
        lines = block.split(b"\n")
        rest = lines.pop(0) if start else b""
        yield from reversed(lines)


def count(value: object) -> int | None:
    """Return ``value`` if it is a count, else None."""
    return value if type(value) is int and value >= 0 else None
