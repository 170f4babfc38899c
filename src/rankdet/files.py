"""The one place that reads JSON: every failure is a one-line message that says how to fix it.

For writing, see `rankdet.outputs`.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankdet.errors import InputError, shown
from rankdet.outputs import write_text

__all__ = ["json_errors", "read_json", "write_text"]  # the last for scripts of users

_PART = 1 << 24  # bytes
# JSON compresses to a tenth of its size, long runs of equal rows to a hundredth. A file with a
# higher ratio is not JSON written by a program, and would fill the memory.
_UNPACKED_AT_LEAST, _UNPACKED_TIMES = 1 << 28, 250


class _Unreadable(Exception):
    """What is wrong with a JSON file, and how to fix it."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.fix = problem, fix


class JsonText:
    """The text of a JSON file, read in parts: UTF-8, plain or compressed with gzip.

    Compression is detected from the content, not from the name. A byte order mark is skipped.
    Use it inside :func:`json_errors`.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed by __exit__
        self._is_packed = self._file.peek(2).startswith(b"\x1f\x8b")
        self._stream = gzip.GzipFile(fileobj=self._file) if self._is_packed else self._file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._bytes_read = 0
        # Of a part, so that a plain file is read at once, without copies.
        self.size = _PART if self._is_packed else max(os.fstat(self._file.fileno()).st_size, _PART)

    def __enter__(self) -> JsonText:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def read(self, size: int) -> str:
        """Return the next part, of at most ``size`` bytes; "" at the end."""
        text = ""
        while not text:
            part = self._stream.read(size)
            if not self._bytes_read:
                _refuse_other_encodings(part)
            self._bytes_read += len(part)
            self._refuse_bomb()
            text = self._decode(part, final=not part)
            if not part:
                break
        return text

    def _refuse_bomb(self) -> None:
        if self._is_packed and self._bytes_read > _UNPACKED_AT_LEAST:
            size = os.fstat(self._file.fileno()).st_size
            if self._bytes_read > _UNPACKED_TIMES * size > 0:
                raise _Unreadable(
                    f"which decompresses to more than {_UNPACKED_TIMES} times its size",
                    "check where it comes from; if it is correct, decompress it with gunzip first",
                )


def _refuse_other_encodings(start: bytes) -> None:
    # UTF-16 and UTF-32 are recognized by the byte order mark or the first ASCII character.
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start[:4]:
        raise _Unreadable("which is not JSON (UTF-16 or binary)", "save it as UTF-8")


@contextmanager
def json_errors(path: str | Path, what: str) -> Iterator[None]:
    """Convert any error while ``path`` is read as JSON into a one-line message with a fix.

    Raises:
        InputError: instead of every other exception.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        name = str(path) if str(path).isprintable() else repr(str(path))
        problem, fix = _explained(error)
        got = f"no file at {name}" if problem is None else f"{name}, {problem}"
        raise InputError(what, got, fix) from None


# By kind of error: the problem (None: there is no file) and the fix. The first that fits counts.
_EXPLANATIONS: tuple[tuple[tuple[type[Exception], ...], Callable[[Any], str | None], str], ...] = (
    (
        (EOFError, gzip.BadGzipFile, zlib.error),
        lambda error: f"which is not JSON (damaged gzip data: {error})",
        "copy or compress it again",
    ),
    ((FileNotFoundError, NotADirectoryError), lambda _: None, "check the path"),
    ((IsADirectoryError,), lambda _: "which is a folder", "give the file in it"),
    (
        (PermissionError,),
        lambda _: "which you have no permission to read",
        "change its permissions: chmod u+r",
    ),
    (
        (OSError,),
        lambda error: f"which cannot be read ({error.strerror})",
        "check the path and the disk",
    ),
    (
        (UnicodeDecodeError,),
        lambda error: f"which is not JSON (not UTF-8: {error.reason})",
        "save it as UTF-8",
    ),
    (
        (json.JSONDecodeError,),
        lambda error: f"which is not JSON ({error if error.doc.strip() else 'it is empty'})",
        "write it again",
    ),
    (
        (RecursionError,),
        lambda _: "which is nested too deeply",
        "check how it was written: it is not a file of this kind",
    ),
    (
        (MemoryError,),
        lambda _: "which does not fit into memory",
        "split it, or use a machine with more memory",
    ),
)


def _explained(error: Exception) -> tuple[str | None, str]:
    """Return the problem (None: there is no file) and the fix."""
    if isinstance(error, _Unreadable):
        return error.problem, error.fix
    for kinds, problem, fix in _EXPLANATIONS:
        if isinstance(error, kinds):
            return problem(error), fix
    if "digits" in str(error):
        return "with a number that has too many digits", "check how it was written"
    if "null byte" in str(error):  # in the path
        return None, "check the path"
    return f"which cannot be read ({shown(error)})", "check how it was written"


def read_json(path: str | Path, what: str = "a JSON file") -> Any:
    """Read a JSON file, plain or compressed with gzip, with or without a byte order mark.

    If an object contains a key twice, the last one is used, as in Python's reader.

    Raises:
        InputError: if ``path`` does not exist, cannot be read, is damaged or is not JSON.
    """
    return parse_json(read_text(path, what), path, what)


def read_text(path: str | Path, what: str = "a JSON file") -> str:
    """Read the text of a JSON file, plain or compressed with gzip, without a byte order mark.

    Raises:
        InputError: if ``path`` does not exist, cannot be read, is damaged or is not UTF-8.
    """
    with json_errors(path, what), JsonText(path) as text:
        return "".join(iter(lambda: text.read(text.size + 1), ""))


def parse_json(text: str, path: str | Path, what: str = "a JSON file") -> Any:
    """Parse the text of the file ``path``.

    Raises:
        InputError: if it is not JSON.
    """
    with json_errors(path, what):
        return json.loads(text)
