"""Files that are either whole or absent: write beside the target, flush, move in one step."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankdet.errors import InputError


def is_full_disk(error: BaseException) -> bool:
    """Whether ``error`` says that the disk or the quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Give a temporary path in ``target``'s folder; move it into place only on success.

    The same folder, because a move across file systems is a copy and can be torn.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_text(target: str | Path, text: str) -> None:
    """Write ``text`` to ``target`` in one step."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def write_json(target: str | Path, value: Any, indent: int | None = 2) -> None:
    """Write ``value`` as JSON to ``target`` in one step; NaN is not JSON and is refused."""
    write_text(target, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: str | Path, what: str = "a JSON file") -> Any:
    """Read JSON; a missing, empty or torn file is named as such.

    Raises:
        InputError: if ``path`` does not exist or does not hold JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(what, f"no file at {path}", "check the path") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(what, f"{path}, which is not JSON ({error})", "write it again") from None
