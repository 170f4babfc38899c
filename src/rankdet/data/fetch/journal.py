"""Which blocks of a part file are on disk: what makes a broken transfer resumable."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

SAVE_SECONDS = 1.0


class Journal:
    """A file under way: ``<name>.part`` of full size, and ``<name>.part.json`` with its blocks.

    A block counts as present only after its bytes were written, so a kill at any moment loses at
    most the blocks under way and what was written since the last save.

    Args:
        part: the part file.
        size: of the whole file, in bytes.
        mark: what identifies the content at the source (its validator); other content, other mark.
        block: bytes of one block.
    """

    def __init__(self, part: Path, size: int, mark: str, block: int) -> None:
        self.part, self.size, self.mark, self.block = part, size, mark, block
        self._path = part.with_name(part.name + ".json")
        self._lock = threading.Lock()
        self._saved = time.monotonic()
        self.done = self._read()
        self.resumed = bool(self.done)
        if not self.resumed:
            part.unlink(missing_ok=True)
        part.touch()
        self._descriptor = os.open(part, os.O_RDWR)
        os.truncate(self._descriptor, size)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Ranges (start, end) of the blocks that are not there, end excluded."""
        count = -(-self.size // self.block)
        starts = (index * self.block for index in range(count) if index not in self.done)
        return [(start, min(start + self.block, self.size)) for start in starts]

    @property
    def present(self) -> int:
        """Bytes on disk, in whole blocks."""
        return self.size - sum(end - start for start, end in self.missing)

    def write(self, data: bytes, offset: int) -> None:
        """Write bytes at their place; safe from several threads."""
        while data:
            count = os.pwrite(self._descriptor, data, offset)
            data, offset = data[count:], offset + count

    def complete(self, start: int) -> None:
        """Note that the block that begins at ``start`` is written."""
        with self._lock:
            self.done.add(start // self.block)
            if time.monotonic() - self._saved >= SAVE_SECONDS:
                self._save()

    def close(self) -> None:
        """Save and close; the part stays for the next attempt."""
        with self._lock:
            self._save()
            os.close(self._descriptor)

    def _save(self) -> None:
        # The data first: a journal that promises more than the disk holds would be a lie.
        os.fsync(self._descriptor)
        state = {"size": self.size, "mark": self.mark, "block": self.block}
        replace_text(self._path, json.dumps({**state, "done": sorted(self.done)}))
        self._saved = time.monotonic()

    def _read(self) -> set[int]:
        """Return the blocks of an earlier attempt at the same content; none if in doubt."""
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            same = (state["size"], state["mark"], state["block"]) == (
                *(self.size, self.mark, self.block),
            )
            whole = self.part.stat().st_size == self.size
            return set(map(int, state["done"])) if same and whole else set()
        except (OSError, ValueError, KeyError, TypeError):
            return set()


def discard(part: Path) -> None:
    """Remove a part file and its journal, if there are any."""
    for suffix in ("", ".json", ".json.new"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """Write a small file in one step, for one writer at a time.

    Unlike `rankdet.files.write_text` the temporary file has always the same name: a process that
    is killed many times leaves one, which the next one replaces.
    """
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)
