"""Which rows have passed preset rehearsal, and at which code.

A rehearsal is the official run of a row on small drawn images for two epochs: training, published
checkpoint, prediction and evaluation, through the commands of the workflow. What a folder of
results holds of it is computed from the files; a copy of that is committed, so that a fresh clone
knows too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rankdet.catalogue.entry import Entry
from rankdet.errors import InputError
from rankdet.files import read_json, write_text
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
        if not record.get("code"):
            continue
        names = ("iterations", "seconds", "processes", "passes")
        found.append(Rehearsal(entry.entry_id, record["code"], *(record[name] for name in names)))
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
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        return [
            Rehearsal(
                row["entry"],
                row["code"],
                int(row["iterations"]),
                float(row["seconds"]),
                int(row["processes"]),
                int(row["passes"]),
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "a record written by `rankdet report rehearsal`", f"{path} ({error})", "write it again"
        ) from None


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
