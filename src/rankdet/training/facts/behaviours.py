"""What a row does otherwise than the official code, besides its settings."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from rankdet.training.facts.compare import read_table


@dataclass(frozen=True)
class Behaviour:
    """A line of ``configs/behaviours.csv``.

    Attributes:
        entries: patterns of entry ids, with ``*``, between blanks.
        official: what the official code does.
        here: what this package does.
        reason: why.
    """

    entries: str
    official: str
    here: str
    reason: str

    def is_about(self, entry_id: str) -> bool:
        """Whether it concerns this row."""
        return any(fnmatchcase(entry_id, pattern) for pattern in self.entries.split())


def behaviours() -> list[Behaviour]:
    """Read ``behaviours.csv`` beside the catalogue."""
    return [Behaviour(**row) for row in read_table("behaviours.csv")]
