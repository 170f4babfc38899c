"""Check that a file is the one that was asked for; every kind of damage has its own message."""

from __future__ import annotations

import html
import re
from pathlib import Path

from rankdet.downloads.table import Download
from rankdet.errors import InputError
from rankdet.hashing import file_hashes

HEAD = 4096
# How files begin: archives, and PyTorch's three formats (zip, pickle protocol 2, and the same
# with the magic number in front, which is a pickle too).
MAGIC = {
    ".zip": ((b"PK\x03\x04", b"PK\x05\x06"), "a zip archive"),
    ".pth": ((b"PK\x03\x04", b"\x80\x02"), "a PyTorch file"),
}


class Damaged(InputError):
    """The bytes are not those that were wanted; fetching them again may help."""


class WebPage(InputError):
    """A web page came in place of the file: a person has to read it."""


def check_head(row: Download, head: bytes, origin: str) -> None:
    """Check the first bytes of a file.

    Raises:
        WebPage: if they are HTML: a quota, login or error page of the host.
        Damaged: if they are not how such a file begins.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:HEAD].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        raise WebPage(
            f"{row.file} from {origin}",
            f"an HTML page{_title(head)}: the host asks for a person (quota, login, confirmation)",
            manual_steps(row),
        )
    begins, what = MAGIC.get(Path(row.file).suffix, ((), ""))
    if begins and head and not head.startswith(begins):
        raise Damaged(
            f"{what} from {origin}", f"bytes that begin {head[:8]!r}", "get the file again"
        )


def verify(row: Download, path: Path, origin: str | None = None, sha256: str = "") -> str:
    """Check size, beginning and hashes of ``path``; return its sha256.

    Args:
        row: what it should be.
        path: the file.
        origin: what the message calls it; default its path.
        sha256: a hash recorded at the first fetch, for files whose hash nobody published.

    Raises:
        WebPage, Damaged: naming the file and what is wrong with it.
    """
    origin = origin or str(path)
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    check_head(row, head, origin)
    check_size(row, path.stat().st_size, origin)
    found, *md5 = file_hashes(path, "sha256", *(["md5"] if row.md5 else []))
    for kind, wanted, got in (
        ("sha256", row.sha256, found[: len(row.sha256)]),
        ("md5", row.md5, "".join(md5)),
        ("sha256 (recorded at the first fetch)", sha256, found[: len(sha256)]),
    ):
        if wanted != got:
            raise Damaged(
                f"{row.file} with {kind} {wanted}",
                f"{origin} with {got}: a damaged or another file",
                "get the file again",
            )
    return found


def check_size(row: Download, size: int, origin: str) -> None:
    """Check a size in bytes, known or announced.

    Raises:
        Damaged: if it is empty, or not the known one.
    """
    if size == 0 or (row.size_bytes is not None and size != row.size_bytes):
        wanted = f"{row.size_bytes} bytes" if row.size_bytes else "a file with content"
        raise Damaged(f"{row.file}: {wanted}", f"{origin} with {size}", "get the file again")


def manual_steps(row: Download, inbox: str | Path = "data/inbox") -> str:
    """Say how a person gets the file and where to put it."""
    if not row.addresses:
        return f"no address is known; if you have it, put it at {Path(inbox) / row.file} and repeat"
    return (
        f"open {row.addresses[0]} in a browser, save the file as {Path(inbox) / row.file}, and "
        "repeat the command: it is verified and taken from there"
    )


def _title(head: bytes) -> str:
    found = re.search(rb"<title[^>]*>(.*?)</title>", head, re.IGNORECASE | re.DOTALL)
    text = html.unescape(found[1].decode("utf-8", "replace")) if found else ""
    text = "".join(letter for letter in text if letter.isprintable()).strip()
    return f" ({text[:80]})" if text else ""
