"""Which rows have passed preset rehearsal, and at which code.

A rehearsal is the official run of a row on small drawn images for two epochs: training, published
checkpoint, prediction and evaluation, through the commands of the workflow. What a folder of
results holds of it is computed from the files; a copy of that is committed, so that a fresh clone
knows too.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rankdet.catalogue.entry import Entry
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import write_text
from rankdet.paths import configs_dir

PRESET = "rehearsal"
RECORD = "rehearsed.csv"  # beside the catalogue


@dataclass(frozen=True)
class Rehearsal:
    """One row's rehearsal that ended with an evaluation.

    Attributes:
        entry: its id.
        code: `code_identity` of the run.
        iterations: steps that were trained.
        seconds: of the training.
        processes: that trained together.
        passes: of each step.
    """

    entry: str
    code: str
    iterations: int
    seconds: float
    processes: int
    passes: int


def rehearsals_of(results: str | Path, entries: Iterable[Entry]) -> list[Rehearsal]:
    """Return the rehearsals that lie complete in ``results``, by row."""
    found = []
    for entry in entries:
        folder = Path(results) / PRESET / entry.entry_id
        run = folder / "run.json"
        if not run.is_file() or not (folder / "metrics.json").is_file():
            continue
        record = read_json(run, "the record of a training")
        if not isinstance(record, dict):
            raise InputError("the record of a training, a JSON object", str(run), "run it again")
        if not record.get("code"):
            continue
        found.append(_rehearsal(run, record | {"entry": entry.entry_id}))
    return found


def recorded_rehearsals(path: Path | None = None) -> list[Rehearsal]:
    """Return the rehearsals of a record, by default of that beside the catalogue.

    Raises:
        InputError: if the record is not one.
    """
    path = path or configs_dir() / RECORD
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_record(path, error) from None
    return [_rehearsal(path, row) for row in rows]


def _rehearsal(path: Path, row: Mapping[str, Any]) -> Rehearsal:
    try:
        seconds = float(row["seconds"])
        counts = [int(row[name]) for name in ("iterations", "processes", "passes")]
        if not (0 <= seconds < math.inf and isinstance(row["code"], str) and row["entry"]):
            raise ValueError("values that no rehearsal has")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _no_record(path, error) from None
    return Rehearsal(row["entry"], row["code"], counts[0], seconds, *counts[1:])


def _no_record(path: Path, error: Exception) -> InputError:
    expected = "a record of rehearsals (`rankdet report rehearsal`)"
    return InputError(expected, f"{path} ({error})", "write it again")


def record_rehearsals(found: list[Rehearsal], target: Path | None = None) -> Path:
    """Write ``found`` as the record that a fresh clone reads; return its path."""
    target = target or configs_dir() / RECORD
    stream = io.StringIO()
    names = [field.name for field in fields(Rehearsal)]
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in found)
    write_text(target, stream.getvalue())
    return target
