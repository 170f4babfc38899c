"""Ground truth and detections as columns of numbers, and remedies for ids that are not in them.

A list of a million dictionaries costs ten times the memory and time of the same numbers in arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, overload

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation.fields import Remedy

Ints = np.ndarray
Floats = np.ndarray
Bools = np.ndarray


PROTOCOLS = ("coco", "lvis")
IOU_TYPES = ("bbox", "segm")
FREQUENCIES = ("r", "c", "f")  # of an LVIS category: rare, common, frequent


def frequency_groups(frequency: list[str] | None) -> dict[str, Bools]:
    """Return which categories [K] are of each frequency; {} without frequencies."""
    if frequency is None:
        return {}
    return {name: np.array([each == name for each in frequency]) for name in FREQUENCIES}


def _no_pairs() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class GroundTruth:
    """The annotations of a dataset; G annotations, I images, K categories.

    ``image`` and ``category`` index ``image_ids`` and ``category_ids``, which ascend. Rows keep
    the order of the file, because ties between equal overlaps go to the last one.

    What the annotations were read for is part of them: LVIS has no crowds and drops annotations
    without area, so that one protocol's columns give wrong numbers in the other.
    """

    image_ids: Ints  # [I] ascending
    image_sizes: Ints  # [I, 2] height, width; 0 if the file does not say
    category_ids: Ints  # [K] ascending
    category_names: list[str]  # [K]
    image: Ints  # [G]
    category: Ints  # [G]
    box: Floats | None  # [G, 4] x, y, w, h, if requested
    area: Floats  # [G] the annotation's own field: the mask area in COCO
    is_crowd: Bools  # [G]
    is_ignored: Bools  # [G] in every area range
    segmentation: list[Any] | None = None  # [G] as in the file, if requested
    entry: Ints | None = None  # [G] place of the annotation in the file, for messages
    image_names: list[str] | None = None  # [I] "" if the file does not say
    frequency: list[str] | None = None  # [K] LVIS: r, c or f
    negative: Ints = field(default_factory=_no_pairs)  # LVIS: pair keys known to be absent
    not_exhaustive: Ints = field(default_factory=_no_pairs)  # LVIS: pair keys only partly labeled
    protocol: str = "coco"  # coco or lvis

    @property
    def iou_types(self) -> tuple[str, ...]:
        """What the annotations can be evaluated for: "bbox", "segm" or both."""
        columns = {"bbox": self.box, "segm": self.segmentation}
        return tuple(name for name, column in columns.items() if column is not None)

    def require(self, iou_types: Iterable[str] | None, protocol: str | None) -> None:
        """Check that the annotations were read for what is asked of them.

        Args:
            iou_types: what will be evaluated; None asks for nothing.
            protocol: "coco" or "lvis"; None takes the one that they were read by.

        Raises:
            InputError: if another protocol or IoU type is needed.
        """
        if protocol is not None and protocol != self.protocol:
            raise InputError(
                f"ground truth read by the {protocol} protocol",
                f"one read by the {self.protocol} protocol",
                f'read it with protocol="{protocol}", or evaluate it by {self.protocol}',
            )
        missing = [name for name in iou_types or () if name not in self.iou_types]
        if missing:
            raise InputError(
                f"ground truth read for {' and '.join(missing)}",
                f"one read for {' and '.join(self.iou_types) or 'nothing'}",
                f"read it with iou_types={(*self.iou_types, *missing)}",
            )

    def pair_key(self, image: Ints, category: Ints) -> Ints:
        """One integer for each (category, image) pair, ascending by category, then image."""
        return category.astype(np.int64) * len(self.image_ids) + image


class Rles(Sequence[dict[str, Any]]):
    """Compressed masks as columns; read as a sequence, dictionaries as in a results file.

    Args:
        counts: the encoded runs of each mask, N of them.
        sizes: height and width of each [N, 2].
    """

    def __init__(self, counts: list[str], sizes: Ints) -> None:
        self.counts, self.sizes = counts, sizes

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Rles: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Rles:
        if isinstance(index, slice):
            return Rles(self.counts[index], self.sizes[index])
        return {"size": self.sizes[index].tolist(), "counts": self.counts[index]}


@dataclass(frozen=True)
class Detections:
    """N detections in the order of the file; ids are those of the dataset, not indices."""

    image_id: Ints  # [N]
    category_id: Ints  # [N]
    score: Floats  # [N]
    box: Floats | None = None  # [N, 4] x, y, w, h
    segmentation: Sequence[Any] | None = None  # [N] RLE dictionaries

    def __post_init__(self) -> None:
        columns = vars(self).items()
        counts = {name: len(column) for name, column in columns if column is not None}
        if len(set(counts.values())) > 1:
            raise InputError(
                "columns of one length in Detections",
                ", ".join(f"{name} {count}" for name, count in counts.items()),
                "give one value per detection in every column",
            )

    def __len__(self) -> int:
        return len(self.score)


def choose(name: str, value: object, known: tuple[str, ...]) -> None:
    """Check that an argument is one of the known words.

    Args:
        name: of the argument, for the error.
        value: that was given.
        known: what it may be.

    Raises:
        InputError: if not.
    """
    if value not in known:
        raise InputError(f"{name} one of {', '.join(known)}", shown(value), "choose one of them")


def chosen_iou_types(iou_types: str | Iterable[str]) -> tuple[str, ...]:
    """Check IoU types; a single one may be given as text.

    Args:
        iou_types: "bbox", "segm" or both.

    Returns:
        The IoU types as a tuple.

    Raises:
        InputError: if there is none, or one is not "bbox" or "segm".
    """
    names = (iou_types,) if isinstance(iou_types, str) else tuple(iou_types)
    for name in names or (None,):
        choose("iou_types", name, IOU_TYPES)
    return names


def text_remedy(key: str, truth: GroundTruth | None = None) -> Remedy:
    """Return the function that suggests a fix for text in the field ``key`` of a detection."""
    find = {"image_id": _image_remedy, "category_id": _category_remedy}.get(key, _number_remedy)
    return lambda value, row: find(value, row, truth)


def unknown_image_remedy(truth: GroundTruth, image_ids: np.ndarray, unknown: int) -> str:
    """Return the fix for detections on the image ``unknown``, which is not annotated."""
    known = _ids_by_stem(truth).get(_digits(str(unknown)))
    if known is not None:
        return (
            "the ids are the numbers in the file names: use the ids of the annotation file "
            f"instead, {known} for {unknown}"
        )
    positions = np.arange(len(truth.image_ids))
    if np.isin(image_ids, positions).all() and not np.isin(positions, truth.image_ids).all():
        return (
            "the ids may be positions in the list of images, from 0: use the "
            f'"id" of each image in the annotation file instead; the first is {truth.image_ids[0]}'
        )
    return "check that annotations and detections are of the same split"


def annotation_id_remedy(value: str, row: dict[str, Any]) -> str:
    """Return the fix for text as an id in the annotation file."""
    if _is_whole(value):
        return f"write it as a JSON number: {shown(int(value))}"
    return "number the entries from 1, and use these numbers in annotations and detections"


def _image_remedy(value: str, row: dict[str, Any], truth: GroundTruth | None) -> str:
    known = _ids_by_stem(truth)
    keys = (value, _stem(value), _digits(value))
    found = next((known[key] for key in keys if key in known), None)
    if found is not None:
        return (
            "the image ids are file names: use the ids of the annotation file instead, "
            f"{found} for {shown(value)}"
        )
    if _is_whole(value):
        return f"convert the ids to numbers: {shown(int(value))}"
    remedy = "the image ids are file names: use the ids of the annotation file instead"
    if known and truth is not None:
        first = next(name for name in truth.image_names or [] if name)
        remedy += f"; it has no file {shown(value)}, its first file is {shown(first)}"
    return remedy


def _category_remedy(value: str, row: dict[str, Any], truth: GroundTruth | None) -> str:
    if truth is not None and value in truth.category_names:
        number = truth.category_ids[truth.category_names.index(value)]
        return (
            "the category ids are names: use the ids of the annotation file instead, "
            f"{number} for {shown(value)}"
        )
    if _is_whole(value):
        return f"convert the ids to numbers: {shown(int(value))}"
    return "the category ids are names: use the ids of the annotation file instead"


def _number_remedy(value: str, row: dict[str, Any], truth: GroundTruth | None) -> str:
    return "write it as a JSON number"


def _ids_by_stem(truth: GroundTruth | None) -> dict[str, int]:
    """Ids by the stem of the file name, and by the number in the stem, if unique."""
    if truth is None or truth.image_names is None:
        return {}
    known: dict[str, int] = {}
    for find in (_stem, _digits):
        keys = [find(name) for name in truth.image_names]
        counts: dict[str, int] = {}
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
        for key, identity in zip(keys, truth.image_ids.tolist(), strict=True):
            if key and counts[key] == 1:
                known.setdefault(key, identity)
    return known


def _stem(name: str) -> str:
    """The name of a file without folders (Windows or not) and without suffix."""
    name = PureWindowsPath(name).name if "\\" in name else PurePosixPath(name).name
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and ending.isalnum() and not ending.isdigit() else name


def _digits(name: str) -> str:
    """The number in a numeric stem, which other tools use as an id; "" if it is not numeric."""
    stem = _stem(name)
    return str(int(stem)) if _is_whole(stem) and len(stem) < 20 else ""


def _is_whole(text: str) -> bool:
    text = text.strip()
    return text.isascii() and text.removeprefix("-").isdigit() and len(text) < 1000
