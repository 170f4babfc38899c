"""A verified file under its final name, or none: from disk, from the inbox, from an address."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.filesize import decimal

from rankdet.downloads.progress import Progress
from rankdet.downloads.table import Download
from rankdet.downloads.transfer import (
    CertificateRefused,
    InsecureAddress,
    NotAvailable,
    TransferInterrupted,
    TransferSettings,
    direct_address,
    discard,
    require_secure,
    transfer,
)
from rankdet.downloads.verify import Damaged, WebPage, manual_steps, verify
from rankdet.errors import InputError
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
