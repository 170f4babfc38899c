"""Read annotations and detections into columns of numbers, and refuse invalid input.

Files are read in blocks of rows, so that only one block is in memory as objects.
"""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields, metrics
from rankdet.evaluation.annotations import check_document
from rankdet.evaluation.columns import (
    IOU_TYPES,
    PROTOCOLS,
    Detections,
    GroundTruth,
    chosen_iou_types,
    text_remedy,
)
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

    Args:
        path: of the file, also .json.gz.
        what: is expected there, for the error message.

    Returns:
        What the file holds.

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

    Args:
        path: of the file, also .json.gz.
        what: is expected there, for the error message.

    Yields:
        Rows as lists of parsed JSON.

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


BLOCK_ROWS = 1 << 16
ANNOTATIONS = "an annotation file in the COCO layout"
DETECTIONS = "detections as a COCO results array"


def read_ground_truth(
    source: str | Path | dict[str, Any] | GroundTruth,
    iou_types: str | Iterable[str] | None = None,
    protocol: str | None = None,
) -> GroundTruth:
    """Read annotations in the COCO or LVIS v1 layout.

    Args:
        source: a path (also .json.gz), the parsed document, or an earlier result of this function.
        iou_types: what will be evaluated: "bbox" needs boxes, "segm" needs masks. Default: both,
            or what an earlier result was read for.
        protocol: "coco" or "lvis"; LVIS needs its federated fields. Default: "coco", or the
            protocol that an earlier result was read by.

    Returns:
        The annotations as columns.

    Raises:
        InputError: if `rankdet.evaluation.annotations.check_document` refuses the document, or if
            an earlier result was read by another protocol or for other IoU types.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise InputError("protocol coco or lvis", shown(protocol), "choose one of them")
    if iou_types is not None:
        iou_types = chosen_iou_types(iou_types)
    if isinstance(source, GroundTruth):
        source.require(iou_types, protocol)
        return source
    return _read_ground_truth(source, iou_types or IOU_TYPES, protocol)


def _read_ground_truth(
    source: str | Path | dict[str, Any], iou_types: tuple[str, ...], asked: str | None
) -> GroundTruth:
    protocol = asked or "coco"
    document = read_document(source, ANNOTATIONS) if isinstance(source, str | Path) else source
    checked = check_document(document, protocol, boxes="bbox" in iou_types)
    for note in checked.notes:
        warnings.warn(note, stacklevel=3)
    document = checked.document
    if asked is None and _is_federated(document):
        warnings.warn(
            "the annotations have LVIS fields and are evaluated by the COCO protocol, because no "
            "protocol was chosen: choose lvis for the numbers of LVIS, or coco to confirm",
            stacklevel=3,
        )
    image_ids, images = _by_id(document["images"])
    category_ids, categories = _by_id(document["categories"])
    rows, unlisted = _evaluated_rows(document["annotations"], image_ids, category_ids)
    is_crowd = fields.flags(rows, "iscrowd", "annotation")
    area = fields.numbers(rows, "area", "annotation")
    is_lvis = protocol == "lvis"
    if is_lvis:  # LVIS knows no crowds, honors `ignore`, and drops what has no area
        with_area = np.flatnonzero(area > 0)
        without_area = len(rows) - len(with_area)
        rows, area = fields.Selected(rows, with_area), area[with_area]
        is_crowd = np.zeros(len(rows), dtype=bool)
        is_ignored = fields.flags(rows, "ignore", "annotation")
        others = [
            (without_area, "have no area"),
            *metrics.ignored(is_ignored, area, "are to be ignored"),
        ]
    else:
        is_ignored = is_crowd
        others = metrics.ignored(is_ignored, area, "are crowds")
    metrics.warn(len(document["annotations"]), unlisted, others)
    ground_truth = GroundTruth(
        image_ids=image_ids,
        image_sizes=fields.sizes(images),
        category_ids=category_ids,
        category_names=[_class_name(row) for row in categories],
        image=np.searchsorted(image_ids, fields.integers(rows, "image_id", "annotation")),
        category=np.searchsorted(category_ids, fields.integers(rows, "category_id", "annotation")),
        box=fields.boxes(rows, "annotation") if "bbox" in iou_types else None,
        area=area,
        is_crowd=is_crowd,
        is_ignored=is_ignored,
        segmentation=(
            fields.values(rows, "segmentation", "annotation") if "segm" in iou_types else None
        ),
        entry=rows.places,
        image_names=[_file_name(row) for row in images],
        protocol=protocol,
    )
    return _with_federated_fields(ground_truth, images, categories) if is_lvis else ground_truth


def _is_federated(document: dict[str, Any]) -> bool:
    """Whether a checked document has the fields of LVIS in every category and image."""
    return all("frequency" in row for row in document["categories"]) and all(
        "neg_category_ids" in row for row in document["images"]
    )


def _class_name(category: dict[str, Any]) -> str:
    name = category.get("name", category["id"])
    return name if isinstance(name, str) else shown(name)


def _file_name(image: dict[str, Any]) -> str:
    name = image.get("file_name", image.get("coco_url"))
    return name if isinstance(name, str) else ""


def _by_id(rows: list[Any]) -> tuple[np.ndarray, fields.Selected]:
    """Return the ascending ids and the rows in that order."""
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    return ids[order], fields.Selected(rows, order)


def _evaluated_rows(
    rows: list[Any], image_ids: np.ndarray, category_ids: np.ndarray
) -> tuple[fields.Selected, list[metrics.Reason]]:
    """Return the annotations of listed images and categories, and why the others are left out."""
    image = fields.integers(rows, "image_id", "annotation")
    category = fields.integers(rows, "category_id", "annotation")
    places, unlisted = metrics.listed(image, category, image_ids, category_ids)
    return fields.Selected(rows, places), unlisted


def _with_federated_fields(
    ground_truth: GroundTruth, images: list[Any], categories: list[Any]
) -> GroundTruth:
    frequency = fields.values(categories, "frequency", "LVIS category")
    pairs = {}
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        ids, image = fields.lists_of_ids(images, key, "LVIS image")
        known = np.isin(ids, ground_truth.category_ids)
        category = np.searchsorted(ground_truth.category_ids, ids[known])
        pairs[key] = np.unique(ground_truth.pair_key(image[known], category))
    return replace(
        ground_truth,
        frequency=frequency,
        negative=pairs["neg_category_ids"],
        not_exhaustive=pairs["not_exhaustive_category_ids"],
    )


def read_detections(
    source: str | Path | list[Any] | Detections, ground_truth: GroundTruth | None = None
) -> Detections:
    """Read a COCO results array.

    As in the official loader, the first entry determines the content of the file: boxes (and masks,
    if it has both) or only masks.

    Args:
        source: a path (also .json.gz), the parsed array, or an earlier result of this function.
        ground_truth: if given, errors about ids suggest the correct ids.

    Returns:
        The detections as columns, in the order of the array.

    Raises:
        InputError: on a missing field, a score that is text, NaN or infinite, a malformed box.
    """
    if isinstance(source, Detections):
        return source
    if isinstance(source, (str, Path)):
        blocks: Iterable[list[Any]] = _with_shared_sizes(read_rows(source, DETECTIONS))
    elif isinstance(source, list):
        blocks = (source[i : i + BLOCK_ROWS] for i in range(0, len(source), BLOCK_ROWS))
    else:
        raise InputError(DETECTIONS, f"a {type(source).__name__}", "pass the array or its path")
    parts: list[Detections] = []
    rows_read = 0
    for block in blocks:
        if block:
            parts.append(_columns(block, parts[0] if parts else None, rows_read, ground_truth))
            rows_read += len(block)
    if not parts:
        warnings.warn(
            "no detections: every annotated class counts as missed (AP 0, oLRP 1)", stacklevel=2
        )
        nothing = np.zeros(0, dtype=np.int64)
        return Detections(nothing, nothing, np.zeros(0), np.zeros((0, 4)), [])
    return Detections(
        np.concatenate([part.image_id for part in parts]),
        np.concatenate([part.category_id for part in parts]),
        np.concatenate([part.score for part in parts]),
        None if parts[0].box is None else np.concatenate([part.box for part in parts]),
        None
        if any(part.segmentation is None for part in parts)
        else [mask for part in parts for mask in part.segmentation or []],
    )


def _with_shared_sizes(blocks: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Let masks of the same size share one list, which saves a sixth of their memory."""
    known: dict[tuple[int, ...], list[int]] = {}
    for block in blocks:
        for row in block:
            mask = row.get("segmentation") if isinstance(row, dict) else None
            size = mask.get("size") if isinstance(mask, dict) else None
            if mask and isinstance(size, list) and all(isinstance(side, int) for side in size):
                mask["size"] = known.setdefault(tuple(size), size)
        yield block


def _columns(
    rows: list[Any], like: Detections | None, first_place: int, truth: GroundTruth | None
) -> Detections:
    what = "detection"
    rows = fields.Block(rows, first_place)
    first = rows[0] if isinstance(rows[0], dict) else {}
    has_boxes = bool(first.get("bbox")) if like is None else like.box is not None
    has_masks = all(isinstance(row, dict) and "segmentation" in row for row in rows)
    if not has_boxes and like is None and "segmentation" not in first:
        fields.values(rows, "image_id", what)
        raise InputError(
            '"bbox" or "segmentation" in every detection',
            f"a first entry with {shown(sorted(map(str, first)), 100)}",
            "write the file in the COCO results layout",
        )
    return Detections(
        fields.integers(rows, "image_id", what, text_remedy("image_id", truth)),
        fields.integers(rows, "category_id", what, text_remedy("category_id", truth)),
        fields.numbers(rows, "score", what),
        fields.boxes(rows, what) if has_boxes else None,
        fields.values(rows, "segmentation", what) if has_masks or not has_boxes else None,
    )
