"""The result of one part of a replay: what was measured, what misses, or why it did not run."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 5  # misses that a part prints


@dataclass
class Part:
    """One comparison of a recording with what runs here.

    Attributes:
        case: name of the recording.
        name: such as ``detections``.
        measured: largest errors and counts, by name.
        problems: each miss with its reason.
        notes: agreements with a reservation, such as a tie.
        skipped: why the part did not run; empty where it ran.
    """

    case: str
    name: str
    measured: dict[str, float | int | str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def agrees(self) -> bool:
        return not self.problems

    def most(self, name: str, value: float) -> None:
        """Keep the largest value under ``name``; a value that is no number stays."""
        before = self.measured.get(name, 0.0)
        self.measured[name] = value if value != value else max(before, float(value))

    def expect(self, good: bool, problem: str) -> None:
        """Note a miss unless ``good``."""
        if not good:
            self.problems.append(problem)

    def equal(self, what: str, ours: object, official: object) -> None:
        """Note a miss unless both are the same."""
        self.expect(ours == official, f"{what}: {ours!r} here, official {official!r}")

    def line(self) -> str:
        """Return the line that is printed about the part."""
        head = f"{self.case:32s} {self.name:24s}"
        if self.skipped:
            return f"{head} skipped: {self.skipped}"
        verdict = "agrees" if self.agrees else "MISSES"
        figures = ", ".join(f"{name} {_text(value)}" for name, value in self.measured.items())
        return f"{head} {verdict}  {figures}".rstrip()

    def reasons(self) -> list[str]:
        """Return the misses to print, the first ones and how many more there are."""
        more = len(self.problems) - SHOWN
        return self.problems[:SHOWN] + ([f"and {more} more"] if more > 0 else [])


def skipped(case: str, name: str, reason: str) -> Part:
    """Return a part that did not run."""
    return Part(case, name, skipped=reason)


def guarded(case: str, name: str, run: Callable[[Part], None]) -> Part:
    """Run a part; an exception is a miss."""
    part = Part(case, name)
    try:
        run(part)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        text = " ".join(str(error).split())[:300]
        part.problems.append(f"{type(error).__name__}: {text} ({place})")
    return part


def _text(value: float | int | str) -> str:
    return f"{value:.1e}" if isinstance(value, float) else str(value)
