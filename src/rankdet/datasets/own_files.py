"""Which files of a folder were written here: only those may be replaced or deleted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import file_sha256
from rankdet.outputs import write_json

MARK = "rankdet-files.json"  # lists what this package wrote into the folder


def write_mark(folder: Path) -> None:
    """List every file of ``folder``, with its hash."""
    files = {name: file_sha256(folder / name) for name in _names(folder)}
    write_json(folder / MARK, {"version": 1, "files": files})


def read_mark(folder: Path) -> dict[str, str] | None:
    """Return {file: sha256} of what was written into ``folder``; None without a list."""
    if not (folder / MARK).is_file():
        return None
    try:
        files = read_json(folder / MARK)["files"]
    except (InputError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


def foreign(folder: Path, written: Mapping[str, str | None]) -> str | None:
    """Return the first file of ``folder`` that is not as ``written``, with the reason.

    Args:
        folder: where they are.
        written: {file: sha256, or None for any content}.
    """
    for name in _names(folder):
        if name == MARK:
            continue
        if name not in written:
            return f"{name}, which was not written here"
        path, sha256 = folder / name, written[name]
        if path.is_symlink() or not path.is_file():
            return f"{name}, which was not written here"
        if sha256 is not None and file_sha256(path) != sha256:
            return f"{name}, which was changed since"
    return None


def remove(folder: Path, written: Mapping[str, str | None]) -> None:
    """Remove the ``written`` files and the folders that this empties; leave everything else."""
    for name in _names(folder):
        if name in written or name == MARK:
            (folder / name).unlink()
    for place, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(place):
            os.rmdir(place)


def _names(folder: Path) -> list[str]:
    """Return all files below ``folder``, also links and empty folders, in order."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        empty = [] if folders or files or place == str(folder) else [""]
        found += [os.path.relpath(os.path.join(place, n), folder) for n in files + links + empty]
    return sorted(found)
