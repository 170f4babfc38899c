"""Read a JSON file of rows block by block, so that only one block stands in memory as objects."""

from __future__ import annotations

import gc
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rankdet.errors import InputError

BLOCK_CHARACTERS = 1 << 23


@contextmanager
def paused_garbage_collector() -> Iterator[None]:
    """Parsing makes millions of objects and no cycle; the collector would walk them for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def read_document(path: str | Path, what: str) -> Any:
    """Return the parsed JSON of ``path``, which may be gzipped.

    Raises:
        InputError: if the file is missing, torn or not JSON.
    """
    path = Path(path)
    try:
        with _open(path) as stream, paused_garbage_collector():
            return json.load(stream)
    except FileNotFoundError:
        raise InputError(what, f"no file at {path}", "check the path") from None
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(what, f"{path}, which is not JSON ({error})", "write it again") from None


def _last_seam(text: str) -> int:
    """Return the index after the last ``}`` that is followed by ``, {``; 0 if there is none."""
    end = len(text)
    for _ in range(64):
        end = text.rfind("}", 0, end)
        if end < 0:
            return 0
        rest = text[end + 1 : end + 64].lstrip()
        if rest.startswith(",") and rest[1:].lstrip().startswith("{"):
            return end + 1
    return 0


def _blocks(stream: IO[str]) -> Iterator[list[Any]]:
    """Yield the rows of a JSON array; ValueError where the text cannot be cut between two rows."""
    text = stream.read(BLOCK_CHARACTERS).lstrip()
    if not text.startswith("["):
        raise ValueError("not an array")
    text = text[1:]
    while True:
        more = stream.read(BLOCK_CHARACTERS)
        if not more:
            yield json.loads("[" + text)
            return
        seam = _last_seam(text)
        if seam:
            yield json.loads("[" + text[:seam] + "]")
            text = text[seam:].lstrip()[1:] + more
        else:
            text += more


def read_rows(path: str | Path, what: str) -> Iterator[list[Any]]:
    """Yield the rows of the JSON array in ``path``, some ten thousands at a time.

    A file whose rows hold nested objects that look like rows is read as a whole instead.

    Raises:
        InputError: if the file is missing, torn, not JSON or not an array.
    """
    path = Path(path)
    rows_seen = 0
    try:
        with _open(path) as stream, paused_garbage_collector():
            for block in _blocks(stream):
                yield block
                rows_seen += len(block)
        return
    except (OSError, EOFError, ValueError):
        pass  # read as a whole below, for the exact error or for the unusual layout
    document = read_document(path, what)
    if not isinstance(document, list):
        raise InputError(
            what, f"{path}, which holds a {type(document).__name__}, not an array", "check the file"
        )
    yield document[rows_seen:]
