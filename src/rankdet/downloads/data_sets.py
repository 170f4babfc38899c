"""`rankdet fetch coco|lvis|cityscapes-help`: from archives to the folder of a data set."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from rankdet.downloads.extract import extract, is_wanted, require_room
from rankdet.downloads.obtain import FetchOptions, ManualDownload, obtain, part_of
from rankdet.downloads.table import Download, data_set
from rankdet.downloads.transfer import discard
from rankdet.errors import InputError
from rankdet.hashing import file_sha256, write_sums

CITYSCAPES_STEPS = """Cityscapes gives its files to registered persons; no program can fetch them.
1. Register at https://www.cityscapes-dataset.com/register/ and log in.
2. Download {files} from https://www.cityscapes-dataset.com/downloads/
3. Put them into {inbox}/ (do not unpack them).
4. Repeat: rankdet fetch cityscapes-help. It verifies both archives and unpacks them into {into}.
State: {state}"""


@dataclass(frozen=True)
class Folders:
    """Where a data set goes.

    Attributes:
        root: the folder in COCO layout.
        archives: where the archives lie while they are needed.
        keep_archives: whether they stay after they were unpacked.
    """

    root: Path
    archives: Path = Path("data/downloads")
    keep_archives: bool = False


def fetch_data_set(
    rows: list[Download], folders: Folders, options: FetchOptions, sums: Path
) -> list[Path]:
    """Get all parts of a data set into ``folders.root``; write the annotations' hashes to ``sums``.

    A part that lies there already, fetched or put there by the user, is counted and kept.

    Returns:
        The annotation files.

    Raises:
        InputError: if a file does not come, is not what it should be, or the disk is too small.
    """
    missing = [row for row in rows if not present(row, folders.root)]
    _require_room(missing, folders)
    for row in rows:
        archive = folders.archives / row.file
        if row in missing:
            obtain(row, archive, options)
            _unpack(row, archive, folders.root)
            options.progress.say(f"{row.name}: {row.count} files in {folders.root}")
        if not folders.keep_archives:
            _remove(archive)
    annotations = sorted({path for row in rows for path in annotation_files(row, folders.root)})
    write_sums(sums, folders.root, {path: file_sha256(path) for path in annotations})
    return annotations


def take_cityscapes(into: Path, options: FetchOptions) -> str:
    """Verify and unpack the Cityscapes archives in the inbox; return what is still to do.

    Raises:
        InputError: if an archive is damaged or is not what its name says.
    """
    rows = data_set("cityscapes")
    try:
        fetch_data_set(rows, Folders(into, into / ".archives"), options, into / "cityscapes.sha256")
    except ManualDownload as missing:
        files = " and ".join(row.file for row in rows)
        state = f"{missing.expected} is not in {options.inbox} yet"
        return CITYSCAPES_STEPS.format(files=files, inbox=options.inbox, into=into, state=state)
    counts = ", ".join(f"{row.count} files {row.name}" for row in rows)
    return f"{into} is complete: {counts}"


def present(row: Download, root: Path) -> bool:
    """Tell whether the files of an archive are in ``root``; images are counted.

    Raises:
        InputError: if some images are there, but not all: nobody can tell what became of the rest.
    """
    if _is_json(row):
        return all(path.is_file() for path in annotation_files(row, root))
    names = (
        (Path(folder).relative_to(root) / file).as_posix()
        for folder, _, files in os.walk(root / _folder(row))
        for file in files
    )
    found = sum(is_wanted(row, name) for name in names)
    if found in (0, row.count):
        return bool(found)
    raise InputError(
        f"{row.count} files {row.members} in {root}",
        f"{found}",
        "complete it, or move the folder away and repeat",
    )


def annotation_files(row: Download, root: Path) -> list[Path]:
    """Return the annotation files that come from an archive."""
    names = row.patterns if _is_json(row) else ()
    return [root / _folder(row) / Path(name).name for name in names]


def _is_json(row: Download) -> bool:
    return row.members.endswith(".json")


def _folder(row: Download) -> str:
    """Return where members go: LVIS has them at the top of its archives, COCO in folders."""
    return row.members.split("/")[0] if "/" in row.members else "annotations"


def _require_room(rows: list[Download], folders: Folders) -> None:
    """Check the disk before the first byte: pictures do not shrink by packing, JSON does."""
    sizes = [row.size_bytes or 0 for row in rows]
    # One archive at a time lies beside its content, unless all of them stay.
    archives = sum(sizes) if folders.keep_archives else max(sizes, default=0)
    unpacked = sum((4 if _is_json(row) else 1) * (row.size_bytes or 0) for row in rows)
    require_room(folders.root, archives + unpacked, "fetch and unpack the data set")


def _remove(archive: Path) -> None:
    """Remove an archive that was unpacked, also what a kill left between the two steps."""
    for path in (archive, archive.with_name(archive.name + ".sha256")):
        path.unlink(missing_ok=True)
    discard(part_of(archive))


def _unpack(row: Download, archive: Path, root: Path) -> None:
    """Unpack beside the final place, then move: whole folders of images, single JSON files."""
    temporary = root / f".{row.file}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        files = extract(row, archive, temporary)
        if _is_json(row):
            for path in files:
                target = root / _folder(row) / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        else:
            os.rename(temporary / _folder(row), root / _folder(row))
    except OSError as error:
        raise InputError(
            f"room and permission to write in {root}", str(error), "correct it and repeat"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
