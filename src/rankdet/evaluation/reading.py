"""Read annotations and detections into columns of numbers, and refuse invalid input.

Files are read in blocks of rows, so that only one block is in memory as objects.
"""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields, tables, typed_json
from rankdet.evaluation.annotations import check_document
from rankdet.evaluation.columns import (
    IOU_TYPES,
    PROTOCOLS,
    Detections,
    GroundTruth,
    Rles,
    chosen_iou_types,
    text_remedy,
)
from rankdet.files import JsonText, parse_json, read_json, read_text

BLOCK_CHARACTERS = 1 << 20  # the rows of a block stay in the cache


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


def _blocks(stream: JsonText) -> Iterator[str]:
    """Yield arrays of whole rows of a JSON array; ValueError where it cannot be cut."""
    text = stream.read(BLOCK_CHARACTERS).lstrip()
    if not text.startswith("["):
        raise ValueError("not an array")
    text = text[1:]
    while True:
        # Doubling avoids quadratic time for one very long row.
        more = stream.read(max(BLOCK_CHARACTERS, len(text)))
        if not more:
            yield "[" + text
            return
        seam = _last_seam(text)
        if seam:
            yield f"[{text[:seam]}]"
            text = text[seam:].lstrip()[1:] + more
        else:
            text += more


def read_rows(
    path: str | Path, what: str, parse: Callable[[str], Any] | None = None
) -> Iterator[Any]:
    """Yield the rows of the JSON array in ``path``, thousands at a time.

    A file whose rows contain nested objects that look like rows is read as a whole instead.

    Args:
        path: of the file, also .json.gz.
        what: is expected there, for the error message.
        parse: returns the rows of the text of an array; default: `json.loads`.

    Yields:
        What ``parse`` returns; rows as lists of parsed JSON where the file is read as a whole.

    Raises:
        InputError: if the file is missing, truncated, not JSON or not an array.
    """
    rows_seen = 0
    try:
        # A pipe cannot be opened twice and is read as a whole.
        if Path(path).is_file():
            with JsonText(path) as stream, paused_garbage_collector():
                for text in _blocks(stream):
                    block = json.loads(text) if parse is None else parse(text)
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
    found = None
    if isinstance(source, str | Path):
        text = read_text(source, ANNOTATIONS)
        with paused_garbage_collector():
            found = typed_json.tables(text, iou_types, protocol)
            document = None if found else parse_json(text, source, ANNOTATIONS)
    else:
        document = source
    if found is None:
        checked = check_document(document, protocol, boxes="bbox" in iou_types)
        for note in checked.notes:
            warnings.warn(note, stacklevel=3)
        found = tables.of_document(checked.document, iou_types, protocol)
    if asked is None and found.is_federated:
        warnings.warn(
            "the annotations have LVIS fields and are evaluated by the COCO protocol, because no "
            "protocol was chosen: choose lvis for the numbers of LVIS, or coco to confirm",
            stacklevel=3,
        )
    return tables.ground_truth(found, protocol)


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
    parts: list[Detections] = []

    def parse(text: str) -> Detections | list[Any]:
        found = typed_json.detections(text, parts[0] if parts else None)
        return json.loads(text) if found is None else found

    if isinstance(source, (str, Path)):
        blocks: Iterable[Any] = read_rows(source, DETECTIONS, parse)
    elif isinstance(source, list):
        blocks = (source[i : i + BLOCK_ROWS] for i in range(0, len(source), BLOCK_ROWS))
    else:
        raise InputError(DETECTIONS, f"a {type(source).__name__}", "pass the array or its path")
    rows_read = 0
    for block in blocks:
        if isinstance(block, Detections):
            parts.append(block)
        elif block:
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
        _joined([part.segmentation for part in parts]),
    )


def _joined(parts: list[Any]) -> Sequence[Any] | None:
    """Return the masks of all blocks; None if those of one block are missing."""
    if any(part is None for part in parts):
        return None
    if not all(isinstance(part, Rles) for part in parts):
        return list(chain.from_iterable(parts))
    counts = list(chain.from_iterable(part.counts for part in parts))
    return Rles(counts, np.concatenate([part.sizes for part in parts]))


def _columns(
    rows: list[Any], like: Detections | None, first_place: int, truth: GroundTruth | None
) -> Detections:
    what = "detection"
    rows = fields.Block(rows, first_place)
    first = rows[0] if isinstance(rows[0], dict) else {}
    box = first.get("bbox")
    is_given = len(box) > 0 if isinstance(box, np.ndarray) else bool(box)
    has_boxes = is_given if like is None else like.box is not None
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
