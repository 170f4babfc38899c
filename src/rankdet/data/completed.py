"""The completed copy of an annotation file, beside the manifest that points to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rankdet.data.manifest import Split, hash_of
from rankdet.data.prepared import Prepared
from rankdet.errors import InputError
from rankdet.files import read_json, write_json

DESCRIPTION = "Completed copy of an annotation file, written by rankdet prepare"


FIELDS = {
    "images": (
        *("id", "file_name", "coco_url", "width", "height"),
        *("neg_category_ids", "not_exhaustive_category_ids"),
    ),
    "annotations": (
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "segmentation"),
    ),
    "categories": ("id", "name", "frequency"),
}


def write_split(part: Prepared, split: str, out: Path) -> Split:
    """Return the manifest's part of a split; write a completed copy where one is needed."""
    source, source_sha256 = "", ""
    path, sha256 = part.path, hash_of(part.path)
    if part.is_completed:
        source, source_sha256 = str(path), sha256
        path = out.with_name(f"{out.stem}-{split}.json")
        _refuse_other_file(path)
        write_json(path, _own_fields(part), indent=None)
        sha256 = hash_of(path)
        print(f"{split}: completed copy of {part.path.name} in {path}", file=sys.stderr)
    problems = part.mask_problems
    return Split(
        annotations=path.name if part.is_completed else str(path),
        images=str(part.images),
        image_count=len(part.document["images"]),
        annotation_count=len(part.document["annotations"]),
        sha256=sha256,
        source=source,
        source_sha256=source_sha256,
        orientation=part.orientation,
        trainable=part.trainable,
        without_mask=len(problems),
        mask_problem=next(iter(problems.values()), ""),
    )


def _own_fields(part: Prepared) -> dict[str, Any]:
    """Return the fields that a later step reads; others may hold anything."""
    lists = {
        key: [{name: row[name] for name in names if name in row} for row in part.document[key]]
        for key, names in FIELDS.items()
    }
    if not any(row.get("segmentation") for row in lists["annotations"]):
        for row in lists["annotations"]:
            row.pop("segmentation", None)
    return {"info": {"description": DESCRIPTION, "source": part.path.name}, **lists}


def _refuse_other_file(path: Path) -> None:
    """Check that nothing but an earlier copy of ours is replaced."""
    if not path.exists():
        return
    try:
        content = read_json(path)
        is_own = content["info"]["description"] == DESCRIPTION
    except (InputError, KeyError, TypeError):
        is_own = False
    if not is_own:
        raise InputError(f"no other file at {path}", "one", "choose another --out")
