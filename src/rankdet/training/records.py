"""The small files of a finished training: ``run.json`` and ``training.jsonl``. No torch here."""

from __future__ import annotations

from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import shown_path, write_json, write_text

# Files in the work directory of a finished run.
WEIGHTS, RECORD, CURVES = "finished.pth", "finished.json", "training.jsonl"
BESIDE = ("run.json", CURVES)  # what a training writes next to its checkpoint


def is_finished(work_dir: str | Path) -> bool:
    """Tell whether a run finished in ``work_dir``."""
    return all((Path(work_dir) / name).exists() for name in (WEIGHTS, RECORD, CURVES))


def record_of(work_dir: Path) -> dict | None:
    """Return the record of the run that finished in ``work_dir``; None if none did."""
    if is_finished(work_dir):
        return read_json(work_dir / RECORD, "the record of a finished run")
    return None


def write_records(work_dir: Path, folder: Path, record: dict) -> None:
    """Write ``run.json`` and ``training.jsonl`` of the run in ``work_dir`` into ``folder``."""
    write_json(folder / "run.json", record)
    write_text(folder / "training.jsonl", (work_dir / CURVES).read_text(encoding="utf-8"))


def write_again(work_dir: Path, folder: Path, entry: str, preset: str) -> None:
    """Write the records of a finished run next to its checkpoint again.

    Raises:
        InputError: if no run, or one of another entry or preset, finished in ``work_dir``.
    """
    expected = f"a finished training of {entry}, preset {preset}, in {shown_path(work_dir)}"
    todo = "train it again, or copy run.json and training.jsonl from a backup"
    record = record_of(work_dir)
    if record is None:
        raise InputError(expected, "none", todo)
    found = (record.get("entry"), record.get("preset"))
    if found != (entry, preset):
        raise InputError(expected, f"one of {found[0]}, preset {found[1]}", todo)
    write_records(work_dir, folder, record)
