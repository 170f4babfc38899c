"""What differs between a resolved config and the official run, and why."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mmengine.config import Config

from rankdet.catalogue import Entry
from rankdet.paths import configs_dir
from rankdet.training.facts.losses import said_numbers
from rankdet.training.facts.resolved import resolved_facts
from rankdet.training.facts.words import canonical


@dataclass(frozen=True)
class Difference:
    """One field in which a run here is not the official one.

    Attributes:
        field: of the catalogue.
        official: what the catalogue says.
        here: what the resolved config says.
        reason: why, from ``configs/differences.csv``; None if it is not explained.
    """

    field: str
    official: str
    here: str
    reason: str | None


@dataclass(frozen=True)
class Explanation:
    """A line of ``configs/differences.csv``.

    Attributes:
        entries: pattern of entry ids, with ``*``.
        field: of the catalogue.
        here: the value in the resolved config, to the letter.
        reason: why.
    """

    entries: str
    field: str
    here: str
    reason: str

    def fits(self, entry_id: str, field: str, here: str) -> bool:
        """Whether it explains this value."""
        return field == self.field and here == self.here and fnmatchcase(entry_id, self.entries)


def explanations() -> list[Explanation]:
    """Read the explained differences, ``differences.csv`` beside the catalogue."""
    return [Explanation(**row) for row in read_table("differences.csv")]


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a table beside the catalogue; none without it."""
    path = configs_dir() / name
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def differences(entry: Entry, config: Config, explained: list[Explanation]) -> list[Difference]:
    """Compare a config under preset paper with the official run, field by field.

    A value that no source states ("unknown", or empty where the official config cannot be resolved)
    cannot differ.
    """
    found = []
    for field, here in resolved_facts(config).items():
        value = getattr(entry, field)
        official = "" if value is None else str(value)
        if field == "loss_hparams":
            here = _other_numbers(here, official, entry.loss_cls)
            same = not here
        else:
            same = canonical(field, official) == canonical(field, here)
        unresolved = entry.verified.get("all_hyperparameters", "").startswith("unknown")
        if official == "unknown" or same or (unresolved and not official):
            continue
        reasons = [each.reason for each in explained if each.fits(entry.entry_id, field, here)]
        found.append(Difference(field, official, here, reasons[0] if reasons else None))
    return found


def _other_numbers(here: str, official: str, loss: str) -> str:
    """Return the numbers here that are not what the prose of the catalogue says."""
    ours = dict(word.split("=") for word in here.split() if "=" in word)
    said = said_numbers(official, loss)
    other = [name for name, value in said.items() if float(ours.get(name, "nan")) != value]
    return " ".join(f"{name}={ours.get(name, 'none')}" for name in other)
