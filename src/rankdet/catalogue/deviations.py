"""Where a run here deviates from the official one, and why: ``configs/deviations.csv``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rankdet.catalogue.official import Text
from rankdet.catalogue.read import read_rows
from rankdet.paths import configs_dir


class Deviation(BaseModel):
    """One thing in which a run here is not the official one.

    Attributes:
        entries: patterns of entry ids, with ``*``, between blanks.
        setting: the path of a setting, with ``*``; empty for a behavior that no setting states.
        official: there.
        here: in this package; of a setting, its value.
        reason: why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="deviations.csv: one deviation")

    entries: Text
    setting: str = ""
    official: Text
    here: Text
    reason: Text

    def is_about(self, entry_id: str) -> bool:
        """Whether it concerns this row."""
        return any(fnmatchcase(entry_id, pattern) for pattern in self.entries.split())

    def explains(self, entry_id: str, other: Deviation) -> bool:
        """Whether it states what ``other`` found in this row."""
        same = (self.official, self.here) == (other.official, other.here)
        return same and self.is_about(entry_id) and fnmatchcase(other.setting, self.setting)


def stated_deviations(folder: Path | None = None) -> list[Deviation]:
    """Read ``deviations.csv``, by default the one beside the catalogue; none without the file.

    Raises:
        InputError: naming line, column and value of the first mistake.
    """
    path = (folder or configs_dir()) / "deviations.csv"
    return [line for _, line in read_rows(path, Deviation)] if path.exists() else []
