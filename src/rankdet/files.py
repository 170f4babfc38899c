"""Reading of files; writing is that of `rankdet.outputs`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rankdet.errors import InputError
from rankdet.outputs import atomic_path, write_json, write_text

__all__ = ["atomic_path", "read_json", "write_json", "write_text"]


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
