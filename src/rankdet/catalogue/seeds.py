"""Seeds of the trainings of a row, and the folder of each run.

A row with one seed has its files in ``<preset>/<entry>/``, a row with several in
``<preset>/<entry>/seed-<n>/``; below ``results``, ``work`` and ``logs`` alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json

LARGEST = 2**32 - 1  # that torch and NumPy accept alike
PATTERN = r"seed-(?:0|[1-9][0-9]{0,9})"


def seed_folder(seed: int) -> str:
    """Return the name of the folder of one of several runs."""
    return f"seed-{seed}"


def seed_of(name: str) -> int | None:
    """Return the seed that a folder's name gives, or None if it is no folder of a seed."""
    if not re.fullmatch(PATTERN, name):
        return None
    seed = int(name.removeprefix("seed-"))
    return seed if seed <= LARGEST else None


def run_folders(folder: Path) -> list[Path]:
    """Return the existing folders ``seed-<n>`` in the folder of an entry, by seed."""
    if not folder.is_dir():
        return []
    found = [
        (seed, path)
        for path in folder.iterdir()
        if (seed := seed_of(path.name)) is not None and path.is_dir()
    ]
    return [path for _, path in sorted(found)]


def run_place(root: Path, preset: str, entry: str, seed: int, seeds: Sequence[int]) -> str:
    """Return where the run of one seed is or will be, as ``<entry>`` or ``<entry>/seed-<n>``.

    A run that exists stays where it is, so that nothing is trained again after the list of seeds
    has changed from one to several or back.

    Args:
        root: folder with ``results`` and ``work``.
        preset: its name.
        entry: its id.
        seed: of the run.
        seeds: all seeds of the row.
    """
    own = f"{entry}/{seed_folder(seed)}"
    if _has_run(root, preset, own) or (len(seeds) > 1 and seed_in(root, preset, entry) != seed):
        return own
    return entry


def seed_in(root: Path, preset: str, place: str) -> int | None:
    """Return the seed of the run in ``<preset>/<place>``: finished, or under way; None if none."""
    for path, keys in (
        (root / "results" / preset / place / "run.json", ("seed",)),
        (root / "work" / preset / place / "run_settings.json", ("settings", "seed")),
    ):
        seed = _number(path, keys)
        if seed is not None:
            return seed
    return None


def _number(path: Path, keys: Sequence[str]) -> int | None:
    """Return an integer of a JSON file; None if it is missing or not readable."""
    try:
        value = read_json(path, "a record of a training") if path.is_file() else None
    except (InputError, OSError, ValueError, RecursionError):
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if type(value) is int else None


def _has_run(root: Path, preset: str, place: str) -> bool:
    results, work = root / "results" / preset / place, root / "work" / preset / place
    names = ("checkpoint.pth", "metrics.json", "run.json")
    return any((results / name).exists() for name in names) or (work / "run_settings.json").exists()
