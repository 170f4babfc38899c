"""Which code a row runs on: a hash of what its training, prediction and evaluation read."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from rankdet.catalogue.config_files import config_files
from rankdet.catalogue.entry import Entry
from rankdet.hashing import content_sha256

PACKAGE = Path(__file__).parents[1]
# What decides whether a row runs. Reports, commands and the cluster come after or around it.
ROOMS = ("losses", "evaluation", "models", "datasets", "weights", "training")
FILES = ("catalogue/presets.py",)


def code_identity(entry: Entry) -> str:
    """Return a hash of the package's code and of the files of the entry's config."""
    files = [(path.name, path) for path in config_files(entry)]
    return content_sha256(_package_identity().encode() + _content(files))[:16]


@cache
def _package_identity() -> str:
    paths = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    paths += [PACKAGE / name for name in FILES]
    return content_sha256(_content((path.relative_to(PACKAGE).as_posix(), path) for path in paths))


def _content(files: Iterable[tuple[str, Path]]) -> bytes:
    """Return names and contents of files, each ended by a zero byte."""
    return b"".join(name.encode() + b"\0" + path.read_bytes() + b"\0" for name, path in files)
