"""A verified file under its final name, or none: from disk, from the inbox, from an address."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.filesize import decimal

from rankdet.downloads.extract import extract, is_wanted, require_room
from rankdet.downloads.table import Download, data_set
from rankdet.downloads.transfer import (
    CertificateRefused,
    InsecureAddress,
    NotAvailable,
    Progress,
    TransferInterrupted,
    TransferSettings,
    direct_address,
    discard,
    require_secure,
    transfer,
)
from rankdet.downloads.verify import Damaged, WebPage, manual_steps, verify
from rankdet.errors import InputError
from rankdet.hashing import file_sha256, write_sums
from rankdet.outputs import sync, write_text

Check = Callable[[Path], None]
# After one of these the next address is tried.
RECOVERABLE = (
    *(NotAvailable, TransferInterrupted, InsecureAddress, CertificateRefused),
    *(WebPage, Damaged),
)


class ManualDownload(InputError):
    """No program gets this file; the message says how a person does."""


class Unreachable(InputError):
    """The connection failed; the part file stays, and the same command resumes it."""


@dataclass(frozen=True)
class FetchOptions:
    """Where files come from besides their own address, and how they are transferred.

    Attributes:
        inbox: folder in which a person puts what no program gets.
        mirrors: addresses of folders that are tried first: ``<mirror>/<file>``.
        settings: of the transfers.
        progress: where they are shown.
    """

    inbox: Path = Path("data/inbox")
    mirrors: tuple[str, ...] = ()
    settings: TransferSettings = field(default_factory=TransferSettings)
    progress: Progress = field(default_factory=lambda: Progress(sys.stderr))


def obtain(row: Download, target: Path, options: FetchOptions, check: Check | None = None) -> str:
    """Get ``row`` under ``target``, verified; return its sha256.

    What lies there already is verified too. Two processes that fetch the same file take turns.

    Args:
        row: the file.
        target: its final name.
        options: where else it may come from.
        check: a further check of the content, on the file before it gets its name; raises
            `InputError`.

    Raises:
        InputError: saying what is wrong and what to do; nothing new stands under ``target``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(target)
    with FileLock(f"{part}.lock"):
        if target.exists():
            discard(part)  # left by a kill just after the move
            return _keep(row, target, check)
        dropped = options.inbox / row.file
        if dropped.is_file():
            sha256 = _take(row, dropped, part, options, check)
        else:
            sha256 = _fetch(row, part, options, check)
        _record(target, sha256)
        sync(part)
        part.replace(target)
        discard(part)
        options.progress.say(f"{target}: verified, sha256 {sha256[:16]}...")
        return sha256


def part_of(target: Path) -> Path:
    """Return where ``target`` stands while it is not verified: beside it, on the same disk."""
    return target.with_name(f".{target.name}.part")


def recorded_sha256(target: Path) -> str:
    """Return the hash that was recorded when ``target`` first came, or ""."""
    note = target.with_name(target.name + ".sha256")
    return note.read_text(encoding="utf-8").split()[0] if note.is_file() else ""


def _record(target: Path, sha256: str) -> None:
    """Record the hash as `sha256sum` does, for the files whose hash nobody published."""
    write_text(target.with_name(target.name + ".sha256"), f"{sha256}  {target.name}\n")


def _keep(row: Download, target: Path, check: Check | None) -> str:
    try:
        sha256 = verify(row, target, sha256=recorded_sha256(target))
        if check is not None:
            check(target)
    except InputError as error:
        remedy = f"move {target} away (with {target.name}.sha256 if you trust the new one), repeat"
        raise Damaged(error.expected, error.got, remedy) from None
    if not recorded_sha256(target):
        _record(target, sha256)
    return sha256


def _take(
    row: Download, dropped: Path, part: Path, options: FetchOptions, check: Check | None
) -> str:
    """Copy what a person put into the inbox; the original stays."""
    try:
        verify(row, dropped)
    except WebPage as error:
        raise ManualDownload(error.expected, error.got, manual_steps(row, options.inbox)) from None
    if check is not None:
        check(dropped)
    discard(part)
    shutil.copyfile(dropped, part)
    return verify(row, part)


def _fetch(row: Download, part: Path, options: FetchOptions, check: Check | None) -> str:
    """Try one address after the other until one gives the right bytes."""
    addresses = [f"{mirror.rstrip('/')}/{row.file}" for mirror in options.mirrors]
    addresses += [found for url in row.addresses if (found := direct_address(url))]
    if not addresses:
        raise ManualDownload(
            row.file, "no address that a program can read", manual_steps(row, options.inbox)
        )
    failures: list[Exception] = []
    for url in addresses:
        try:
            require_secure(row, url)
            return _fetch_from(row, url, part, options, check)
        except RECOVERABLE as error:
            failures.append(error)
            if len(addresses) > 1:
                options.progress.say(f"{url}: {getattr(error, 'got', error)}")
        except OSError as error:
            raise InputError(
                f"room and permission to write {part}", error.strerror or str(error), _room(row)
            ) from None
    raise _verdict(row, failures, options)


def _fetch_from(
    row: Download, url: str, part: Path, options: FetchOptions, check: Check | None
) -> str:
    while True:
        resumed = transfer(row, url, part, options.settings, options.progress)
        options.progress.end()
        try:
            sha256 = verify(row, part, url)
            if check is not None:
                check(part)
            return sha256
        except InputError:
            discard(part)
            # The bytes of an earlier attempt may be the damaged ones: fetch all of it once more.
            if not resumed:
                raise


def _verdict(row: Download, failures: list[Any], options: FetchOptions) -> InputError:
    """Return the most useful error: first one that may pass, because then waiting helps."""
    interrupted = [error for error in failures if isinstance(error, TransferInterrupted)]
    pages = [error for error in failures if isinstance(error, WebPage)]
    if interrupted:
        remedy = "the same command resumes where this one stopped"
        return Unreachable(f"{row.file} from its host", str(interrupted[-1]), remedy)
    if pages:
        return ManualDownload(row.file, pages[0].got, manual_steps(row, options.inbox))
    return failures[-1]


def _room(row: Download) -> str:
    size = f"{decimal(row.size_bytes)} are needed; " if row.size_bytes else ""
    return f"{size}free space or correct the folder, then repeat: the transfer is resumed"


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
