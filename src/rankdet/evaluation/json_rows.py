"""Read a JSON file of rows in blocks, so that only one block is in memory as objects."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankdet.errors import InputError
from rankdet.files import JsonText, read_json

BLOCK_CHARACTERS = 1 << 23


@contextmanager
def paused_garbage_collector() -> Iterator[None]:
    """Parsing creates millions of objects but no cycles, so garbage collection would waste time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_document(path: str | Path, what: str) -> Any:
    """Return the parsed JSON of ``path``; see `rankdet.files.read_json`.

    Raises:
        InputError: if the file is missing, damaged or not JSON.
    """
    with paused_garbage_collector():
        return read_json(path, what)


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


def _blocks(stream: JsonText) -> Iterator[list[Any]]:
    """Yield the rows of a JSON array; ValueError where the text cannot be cut between two rows."""
    text = stream.read(BLOCK_CHARACTERS).lstrip()
    if not text.startswith("["):
        raise ValueError("not an array")
    text = text[1:]
    while True:
        # Doubling avoids quadratic time for one very long row.
        more = stream.read(max(BLOCK_CHARACTERS, len(text)))
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
    """Yield the rows of the JSON array in ``path``, tens of thousands at a time.

    A file whose rows contain nested objects that look like rows is read as a whole instead.

    Raises:
        InputError: if the file is missing, truncated, not JSON or not an array.
    """
    rows_seen = 0
    try:
        # A pipe cannot be opened twice and is read as a whole.
        if Path(path).is_file():
            with JsonText(path) as stream, paused_garbage_collector():
                for block in _blocks(stream):
                    yield block
                    rows_seen += len(block)
            return
    except Exception:
        pass  # read as a whole below, for the exact error or for the unusual layout
    document = read_document(path, what)
    if not isinstance(document, list):
        raise InputError(
            what,
            f"{path}, which contains a {type(document).__name__}, not an array",
            "check the file",
        )
    yield document[rows_seen:]
