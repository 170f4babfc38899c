"""Extract the wanted files of a zip archive into a folder, and never outside of it."""

from __future__ import annotations

import fnmatch
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rankdet.downloads.table import Download
from rankdet.errors import InputError

CHUNK = 1 << 20


def extract(row: Download, archive: Path, folder: Path) -> list[Path]:
    """Extract the members of ``row`` into ``folder``; return their paths, sorted.

    ``folder`` is a temporary one: the caller moves its content into place when this returns.

    Raises:
        InputError: if the archive is damaged, holds a path that leaves the folder or a link, or
            has another number of members than it should.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            wanted = _members(row, archive, source)
            require_room(folder, sum(member.file_size for member in wanted), f"unpack {row.file}")
            return sorted(_write(source, member, folder) for member in wanted)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{archive}, a whole zip archive", str(error), f"delete {archive} and fetch it again"
        ) from None


def is_wanted(row: Download, name: str) -> bool:
    """Tell whether a path inside the archive is one that ``row`` asks for."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in row.patterns)


def require_room(folder: Path, size: int, purpose: str) -> None:
    """Check that ``folder``'s disk has ``size`` bytes left.

    Raises:
        InputError: with what is needed and what is free.
    """
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size > free:
        raise InputError(
            f"{size / 2**30:.1f} GiB of free disk in {folder} to {purpose}",
            f"{free / 2**30:.1f} GiB",
            "free some, or choose another folder",
        )


def _members(row: Download, archive: Path, source: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    wanted = []
    for member in source.infolist():
        _check_path(archive, member)
        if not member.is_dir() and is_wanted(row, member.filename):
            wanted.append(member)
    names = {member.filename for member in wanted}
    if len(wanted) != row.count or len(names) != len(wanted):
        raise InputError(
            f"{row.count} files {row.members} in {archive}",
            f"{len(names)}" + (" and doubles" if len(names) != len(wanted) else ""),
            "it is another archive, or configs/downloads.csv is wrong",
        )
    return wanted


def _check_path(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    leaves = path.is_absolute() or ".." in path.parts or "\\" in member.filename
    # A drive letter is an absolute path on some systems.
    leaves = leaves or ":" in path.parts[0] if path.parts else True
    if leaves or stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(
            f"only files inside {archive.name}",
            f"the member {member.filename!r}, which leads out of it",
            f"do not trust this archive: delete {archive}",
        )


def _write(source: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    # Reading to the end also checks the member's CRC.
    with source.open(member) as stream, target.open("xb") as out:
        shutil.copyfileobj(stream, out, CHUNK)
    return target
