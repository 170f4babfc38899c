"""A verified file under its final name, or none: from disk, from the inbox, from an address."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from rankdet.data.fetch.hosts import Unproven, direct, require_proof
from rankdet.data.fetch.journal import discard, replace_text
from rankdet.data.fetch.patience import Gone, Interrupted, Untrusted
from rankdet.data.fetch.progress import Progress, readable
from rankdet.data.fetch.table import Download
from rankdet.data.fetch.transfer import Settings, transfer
from rankdet.data.fetch.verify import Damaged, WebPage, by_hand, verify
from rankdet.errors import InputError

Check = Callable[[Path], None]


class ByHand(InputError):
    """No program gets this file; the message says how a person does."""


class Unreachable(InputError):
    """The connection failed; the part file stays, and the same command goes on with it."""


@dataclass(frozen=True)
class Place:
    """Where files come from besides their own address, and how they travel.

    Attributes:
        inbox: folder in which a person puts what no program gets.
        mirrors: addresses of folders that are tried first: ``<mirror>/<file>``.
        settings: of the transfers.
        progress: where they are shown.
    """

    inbox: Path = Path("data/inbox")
    mirrors: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)
    progress: Progress = field(default_factory=lambda: Progress(sys.stderr))


def obtain(row: Download, target: Path, place: Place, check: Check | None = None) -> str:
    """Have ``row`` under ``target``, verified; return its sha256.

    What lies there already is verified too. Two processes that want the same file take turns.

    Args:
        row: the file.
        target: its final name.
        place: where else it may come from.
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
        dropped = place.inbox / row.file
        if dropped.is_file():
            _take(row, dropped, part, place, check)
        else:
            _fetch(row, part, place, check)
        sha256 = verify(row, part)
        _note(target, sha256)
        part.replace(target)
        discard(part)
        place.progress.say(f"{target}: verified, sha256 {sha256[:16]}...")
        return sha256


def part_of(target: Path) -> Path:
    """Return where ``target`` stands while it is not verified: beside it, on the same disk."""
    return target.with_name(f".{target.name}.part")


def noted(target: Path) -> str:
    """Return the hash that was noted when ``target`` first came, or ""."""
    note = target.with_name(target.name + ".sha256")
    return note.read_text(encoding="utf-8").split()[0] if note.is_file() else ""


def _note(target: Path, sha256: str) -> None:
    """Note the hash as `sha256sum` does, for the files whose hash nobody published."""
    replace_text(target.with_name(target.name + ".sha256"), f"{sha256}  {target.name}\n")


def _keep(row: Download, target: Path, check: Check | None) -> str:
    try:
        sha256 = verify(row, target, sha256=noted(target))
        if check is not None:
            check(target)
    except InputError as error:
        todo = f"move {target} away (with {target.name}.sha256 if you trust the new one), repeat"
        raise Damaged(error.expected, error.got, todo) from None
    if not noted(target):
        _note(target, sha256)
    return sha256


def _take(row: Download, dropped: Path, part: Path, place: Place, check: Check | None) -> None:
    """Copy what a person put into the inbox; the original stays."""
    try:
        verify(row, dropped)
    except WebPage as error:
        raise ByHand(error.expected, error.got, by_hand(row, place.inbox)) from None
    if check is not None:
        check(dropped)
    discard(part)
    shutil.copyfile(dropped, part)


def _fetch(row: Download, part: Path, place: Place, check: Check | None) -> None:
    """Try one address after the other until one gives the right bytes."""
    addresses = [f"{mirror.rstrip('/')}/{row.file}" for mirror in place.mirrors]
    addresses += [found for url in row.addresses if (found := direct(url))]
    if not addresses:
        raise ByHand(row.file, "no address that a program can read", by_hand(row, place.inbox))
    failures: list[Exception] = []
    for url in addresses:
        try:
            require_proof(row, url)
            return _from(row, url, part, place, check)
        except (Gone, WebPage, Damaged, Interrupted, Unproven, Untrusted) as error:
            failures.append(error)
            if len(addresses) > 1:
                place.progress.say(f"{url}: {getattr(error, 'got', error)}")
        except OSError as error:
            raise InputError(
                f"room and permission to write {part}", error.strerror or str(error), _room(row)
            ) from None
    raise _verdict(row, failures, place)


def _from(row: Download, url: str, part: Path, place: Place, check: Check | None) -> None:
    for again in (True, False):
        resumed = transfer(row, url, part, place.settings, place.progress)
        place.progress.end()
        try:
            verify(row, part, url)
            if check is not None:
                check(part)
            return
        except InputError:
            discard(part)
            # The old bytes may have been the bad ones: once more, all of it.
            if not (resumed and again):
                raise


def _verdict(row: Download, failures: list[Exception], place: Place) -> InputError:
    """Return the error that tells most: one that may pass wins, because waiting helps."""
    if any(isinstance(error, Interrupted) for error in failures):
        last = next(error for error in reversed(failures) if isinstance(error, Interrupted))
        todo = "the same command goes on where this one stopped"
        return Unreachable(f"{row.file} from its host", str(last), todo)
    if any(isinstance(error, WebPage) for error in failures):
        page = next(error for error in failures if isinstance(error, WebPage))
        return ByHand(row.file, page.got, by_hand(row, place.inbox))
    return failures[-1]


def _room(row: Download) -> str:
    size = f"{readable(row.size_bytes)} are needed; " if row.size_bytes else ""
    return f"{size}free space or correct the folder, then repeat: the transfer goes on"
