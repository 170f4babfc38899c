"""Which files an entry's config is made of, read without running it."""

from __future__ import annotations

import ast
from pathlib import Path

from rankdet.catalogue.entry import Entry
from rankdet.errors import InputError


def config_files(entry: Entry) -> list[Path]:
    """Return the config of ``entry`` and all local files it stands on, the entry's own first.

    Bases of an installed package (``mmdet::...``) are left out: the version pins them.

    Raises:
        InputError: if a file is missing, is not Python, or its ``_base_`` is not a literal.
    """
    found: dict[Path, None] = {}
    pending = [entry.config_path]
    while pending:
        path = pending.pop(0)
        if path not in found:
            found[path] = None
            local = [base for base in _bases(path, entry.entry_id) if "::" not in base]
            pending += [(path.parent / base).resolve() for base in local]
    return list(found)


def _bases(path: Path, entry_id: str) -> list[str]:
    expected = f"the config of {entry_id}"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except OSError:
        raise InputError(
            expected, f"no file at {path}", "`rankdet list` shows which entries have a config"
        ) from None
    except SyntaxError as error:
        raise InputError(
            expected, f"{path}, line {error.lineno}: {error.msg}", "correct that line"
        ) from None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "_base_" for target in node.targets
        ):
            try:
                value = ast.literal_eval(node.value)
            except ValueError:
                value = None
            names = [value] if isinstance(value, str) else value
            if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
                return list(names)
            raise InputError(
                f"{path}, line {node.lineno}: `_base_` as a string or a list of strings",
                ast.unparse(node.value),
                "write the paths out: the DAG reads them without running the config",
            )
    return []
