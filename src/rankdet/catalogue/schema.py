"""JSON schemas for the DAG, made from the models, so that the rules stand in one place.

``python -m rankdet.catalogue.schema`` writes them to ``workflow/schemas``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rankdet.catalogue.catalogue import Entry, PublishedValue
from rankdet.outputs import write_json

MODELS: dict[str, type[BaseModel]] = {"experiments": Entry, "published": PublishedValue}


def json_schema(table: str) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of one line of ``experiments`` or ``published``."""
    schema = MODELS[table].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schemas(folder: str | Path) -> list[Path]:
    """Write ``<table>.schema.json`` for both tables; return the paths."""
    paths = [Path(folder) / f"{table}.schema.json" for table in MODELS]
    for table, path in zip(MODELS, paths, strict=True):
        write_json(path, json_schema(table))
    return paths


if __name__ == "__main__":
    for written in write_schemas(sys.argv[1] if len(sys.argv) > 1 else "workflow/schemas"):
        print(written)
