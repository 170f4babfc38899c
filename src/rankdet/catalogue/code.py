"""Which code a row runs on: a hash of what its training, prediction and evaluation read."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from rankdet.catalogue.config_files import config_files
from rankdet.catalogue.entry import Entry

PACKAGE = Path(__file__).parents[1]
# What decides whether a row runs. Reports, commands and the cluster come after or around it.
ROOMS = ("losses", "evaluation", "models", "data", "training")
FILES = ("catalogue/presets.py",)


def code_identity(entry: Entry) -> str:
    """Return a hash of the package's code and of the files of the entry's config."""
    digest = hashlib.sha256(_package_identity().encode())
    for path in config_files(entry):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@cache
def _package_identity() -> str:
    digest = hashlib.sha256()
    paths = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]
    for path in [*paths, *(PACKAGE / name for name in FILES)]:
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
