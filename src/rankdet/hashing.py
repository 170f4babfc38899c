"""Hashes of files and texts, and lists of hashes as `sha256sum` writes them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from rankdet.errors import InputError
from rankdet.outputs import write_text

_CHUNK = 1 << 20
_LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$")


def file_hashes(path: str | Path, *algorithms: str) -> list[str]:
    """Return hashes of a file, which is read once and in pieces.

    Args:
        path: the file.
        algorithms: names that `hashlib` knows, such as "sha256".

    Returns:
        The hexadecimal digests in the order of ``algorithms``.
    """
    digests = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            for digest in digests:
                digest.update(chunk)
    return [digest.hexdigest() for digest in digests]


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits."""
    return file_hashes(path, "sha256")[0]


def content_sha256(content: bytes | str) -> str:
    """Return the sha256 of bytes, or of a text in UTF-8, in hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def json_sha256(content: object) -> str:
    """Return the sha256 of plain values, written as JSON with sorted keys."""
    return content_sha256(json.dumps(content, sort_keys=True))


def write_sums(target: Path, root: Path, sums: Mapping[Path, str]) -> None:
    """Write ``<hash>  <path below root>`` lines."""
    lines = [f"{sha256}  {path.relative_to(root).as_posix()}\n" for path, sha256 in sums.items()]
    write_text(target, "".join(lines))


def read_sums(path: Path) -> dict[str, str]:
    """Return {path below the data set's root: sha256}.

    Raises:
        InputError: if a line is not as `sha256sum` writes it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(
            "a list of hashes", f"{path}: {error.strerror}", "check the path"
        ) from None
    found = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.match(line)
        if line.strip() and match is None:
            raise InputError(
                f"{path}, line {number}: a sha256 and a path", repr(line), "use `sha256sum`"
            )
        if match:
            found[match[2]] = match[1]
    return found


def check_sums(root: Path, sums: Mapping[str, str], origin: str) -> None:
    """Check every listed file.

    Raises:
        InputError: naming the first file that is missing or has changed.
    """
    for name, wanted in sums.items():
        path = root / name
        if not path.is_file():
            raise InputError(f"the files of {origin}", f"no {path}", "complete the data set")
        found = file_sha256(path)
        if found != wanted:
            raise InputError(
                f"{path} with sha256 {wanted}, as in {origin}",
                f"{found}: the file has changed",
                "restore it, or write the list anew if the change is meant",
            )
