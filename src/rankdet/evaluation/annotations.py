"""The check of annotation files, used by `prepare`, training and evaluation.

Common deviations with a clear meaning are accepted and completed: annotation ids that start at 0 or
are missing, a missing area, a missing crowd flag. Everything else that a later step could not use
is refused with the list, the entry and the fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields, masks
from rankdet.evaluation.columns import FREQUENCIES, annotation_id_remedy

LISTS = ("images", "annotations", "categories")
LARGEST = 1e7  # pixels: no image is this large, and products of such numbers are exact in float64


@dataclass(frozen=True)
class Checked:
    """A document that all later steps can use.

    Attributes:
        document: the lists "images", "annotations", "categories"; rows are those of the input
            unless something was completed.
        notes: one line for each kind of completion.
    """

    document: dict[str, Any]
    notes: tuple[str, ...]


def check_document(
    document: object, protocol: str = "coco", where: str = "", boxes: bool = True
) -> Checked:
    """Check ids, boxes, areas, flags and LVIS fields of an annotation document.

    Masks are not checked, except to compute a missing area: see `mask_problems`.

    Args:
        document: the parsed file; it is not changed.
        protocol: "coco" or "lvis".
        where: the file, for errors.
        boxes: whether boxes are required; masks can be evaluated without them.

    Raises:
        InputError: naming the list, the entry and the invalid field.
    """
    try:
        return _check(document, protocol, boxes)
    except InputError as error:
        if not where:
            raise
        raise InputError(f"{where}: {error.expected}", error.got, error.fix) from None


def _check(document: object, protocol: str, boxes: bool) -> Checked:
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key), list) for key in LISTS
    ):
        got = f"a {type(document).__name__}"
        if isinstance(document, dict):
            got = f"the keys {shown(sorted(map(str, document)), 100)}"
        raise InputError(
            'an annotation file in the COCO layout: an object with the arrays "images", '
            '"annotations", "categories"',
            got,
            "check that annotations and detections are not swapped",
        )
    lists = {key: document[key] for key in LISTS}
    notes: list[str] = []
    for key, what in (("images", "image"), ("categories", "category")):
        if not lists[key]:
            raise InputError(f"at least one {what}", "none", f'add {key} to the list "{key}"')
        lists[key] = _whole_ids(lists[key], "id", what)
        _refuse_duplicates(fields.integers(lists[key], "id", what), what)
    lists["annotations"] = _annotations(lists, notes, boxes)
    if protocol == "lvis":
        _check_lvis(lists)
    return Checked({**document, **lists}, tuple(notes))


def _annotations(
    lists: dict[str, list[Any]], notes: list[str], needs_boxes: bool
) -> list[dict[str, Any]]:
    rows = _numbered(lists["annotations"], notes)
    for key in ("image_id", "category_id"):
        rows = _whole_ids(rows, key, "annotation")
    for key in ("iscrowd", "ignore"):
        rows = _flags(rows, key)
    if needs_boxes:
        boxes = fields.boxes(rows, "annotation")
        is_beyond = (np.abs(boxes) > LARGEST).any(1)
        _refuse_first(is_beyond, rows, "bbox", f"in pixels, at most {LARGEST:.0f}")
    return _with_areas(rows, lists["images"], notes)


def _numbered(rows: list[Any], notes: list[str]) -> list[dict[str, Any]]:
    """Return the rows with unique ids above 0; COCO toolkits read a match with id 0 as no match."""
    fields.require_objects(rows, "annotation")
    if not rows:
        return rows
    lacking = sum("id" not in row or row["id"] is None for row in rows)
    if lacking == len(rows):
        notes.append(f"annotations have no ids: numbered from 1 to {len(rows)}")
        return [{**row, "id": number} for number, row in enumerate(rows, start=1)]
    rows = _whole_ids(rows, "id", "annotation")
    ids = fields.integers(rows, "id", "annotation")
    _refuse_duplicates(ids, "annotation")
    if ids.min() < 1:
        notes.append(
            f"annotation ids start at {ids.min()}: renumbered from 1 in the order of the file"
        )
        return [{**row, "id": number} for number, row in enumerate(rows, start=1)]
    return rows


def _whole_ids(rows: list[Any], key: str, what: str) -> list[Any]:
    """Return the rows with ``key`` as int; 3.0 becomes 3."""
    ids = fields.integers(rows, key, what, annotation_id_remedy)
    if all(type(row[key]) is int for row in rows):
        return rows
    return [{**row, key: value} for row, value in zip(rows, ids.tolist(), strict=True)]


def _refuse_duplicates(ids: np.ndarray, what: str) -> None:
    ascending = np.sort(ids)
    twice = ascending[1:][ascending[1:] == ascending[:-1]]
    if len(twice):
        raise InputError(
            f"unique {what} ids",
            f"{len(twice)} duplicates, the first is {twice[0]}",
            "renumber them from 1",
        )


def _flags(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the rows with ``key`` as 0 or 1 where it is given; null means not given."""
    if any(row.get(key, 0) is None for row in rows):
        rows = [{**row, key: 0} if row.get(key, 0) is None else row for row in rows]
    fields.flags(rows, key, "annotation")
    return rows


def _with_areas(
    rows: list[dict[str, Any]], images: list[dict[str, Any]], notes: list[str]
) -> list[dict[str, Any]]:
    lacking = [number for number, row in enumerate(rows) if row.get("area") is None]
    given = [row for row in rows if row.get("area") is not None]
    area = fields.numbers(given, "area", "annotation")
    _refuse_first(area < 0, given, "area", "in pixels, at least 0")
    if not lacking:
        return rows
    sizes = {row["id"]: (row.get("height"), row.get("width")) for row in images}
    rows, of_masks = list(rows), 0
    for number in lacking:
        row = rows[number]
        found = _mask_area(row.get("segmentation"), sizes.get(row["image_id"]), number)
        of_masks += found is not None
        if found is None:
            width, height = fields.boxes([row], f"annotation with id {row['id']}")[0, 2:].tolist()
            found = width * height
        rows[number] = {**row, "area": found}
    boxes = len(lacking) - of_masks
    parts = [f"{of_masks} from its mask"] * bool(of_masks) + [f"{boxes} as w * h"] * bool(boxes)
    notes.append(f"{len(lacking)} annotations have no area: computed, {' and '.join(parts)}")
    return rows


def _mask_area(value: object, size: tuple[Any, ...] | None, number: int) -> float | None:
    """Return the pixel count of a mask; None if there is no usable mask."""
    if not value or size is None or not all(map(_is_side, size)):
        return None
    try:
        return float(masks.checked_masks([value], [size], [f"entry {number}"])[1][0])
    except InputError:
        return None


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _refuse_first(is_bad: np.ndarray, rows: Sequence[Any], key: str, meant: str) -> None:
    if is_bad.any():
        number = int(np.argmax(is_bad))
        raise InputError(
            f'"{key}" of every annotation {meant}',
            f"{shown(rows[number][key])} in annotation {rows[number]['id']}",
            "correct it in the annotation file, or remove the annotation",
        )


def _check_lvis(lists: dict[str, list[Any]]) -> None:
    for number, value in enumerate(fields.values(lists["categories"], "frequency", "category")):
        if value not in FREQUENCIES:
            raise InputError(
                '"frequency" of every category as r, c or f',
                f"{shown(value)} in entry {number}",
                "use LVIS v1 annotations",
            )
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        fields.lists_of_ids(lists["images"], key, "image")


def mask_problems(
    rows: Sequence[dict[str, Any]], sizes: dict[int, tuple[int, int]]
) -> dict[int, str]:
    """Return which rows have no usable mask: no mask, or a polygon with fewer than three points.

    Args:
        rows: checked annotations.
        sizes: height and width of each image by its id.

    Returns:
        {index of the row: the problem}; empty if every row has a usable mask.

    Raises:
        InputError: if a mask is neither polygons nor an RLE of its image.
    """
    found = {}
    for number, row in enumerate(rows):
        value = row.get("segmentation")
        if value is None or value == []:
            found[number] = "no mask"
        elif _has_few_points(value):
            found[number] = f"a polygon with fewer than three points in annotation {row['id']}"
        else:
            masks.check_mask(value, sizes[row["image_id"]], f"annotation {row['id']}")
    return found


def _has_few_points(value: object) -> bool:
    """Tell whether the polygons are valid except that one has fewer than three points."""
    if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
        return False
    if min(map(len, value)) >= 6:  # nearly always: the numbers are checked elsewhere
        return False
    return all(
        len(polygon) % 2 == 0
        and all(type(each) in (int, float) and np.isfinite(each) for each in polygon)
        for polygon in value
    )
