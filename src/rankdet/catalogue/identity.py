"""What a training and a table are made of, as hashes: Snakemake runs again what has another one.

They are of content: time stamps, comments and layout of the files do not count. Nothing here runs a
config, and nothing imports torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from rankdet.catalogue.catalogue import Catalogue
from rankdet.catalogue.config_files import config_files
from rankdet.catalogue.entry import Entry
from rankdet.hashing import json_sha256


def config_identity(entry: Entry) -> str:
    """Return a hash of the code in the entry's config and in all local files it stands on.

    Raises:
        InputError: if a file is missing or is not Python.
    """
    files = config_files(entry)
    return json_sha256([[path.name, _code(path, path.stat().st_mtime_ns)] for path in files])


def table_identity(catalogue: Catalogue, entries: Iterable[Entry] | None = None) -> str:
    """Return a hash of what the catalogue says of ``entries``: labels, settings, figures.

    Args:
        catalogue: where the figures are.
        entries: in the order of their table; by default all.
    """
    return json_sha256(
        [
            [
                entry.model_dump(mode="json"),
                entry.official.model_dump(mode="json", exclude_none=True),
                [value.model_dump(mode="json") for value in catalogue.published(entry.entry_id)],
            ]
            for entry in (catalogue if entries is None else entries)
        ]
    )


@cache
def _code(path: Path, changed: int) -> str:
    """Return a config in Python's own layout, without comments and strings that stand alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    return ast.unparse(tree)
