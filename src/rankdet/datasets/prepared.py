"""One split, checked as a training will use it: annotations, images, and what of both is usable.

The annotations that a training can use are counted as mmdet's data set filters them.
"""

from __future__ import annotations

import codecs
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.catalogue.official_files import OFFICIAL
from rankdet.datasets.images import (
    STORED,
    Sizes,
    find_images,
    image_name,
    open_images,
    sizes_as_annotated,
)
from rankdet.datasets.manifest import categories_sha256
from rankdet.errors import InputError
from rankdet.evaluation.annotations import LISTS, Checked, check_document, mask_problems

REMEDY = "correct the annotation file, or leave the entry out"
SMALL = "on images below 32 pixels"
SMALLEST_IMAGE = 32  # pixels of the shorter side: the `min_size` of every entry's train loader
NORMALIZED = "the boxes lie between 0 and 1: multiply them by width and height"
USABLE_REMEDIES = {
    "with area 0": 'leave the field "area" out: it is then computed',
    "crowds": "set iscrowd to 0 where a box holds one object",
    "smaller than one pixel": NORMALIZED,
    "outside of their image": "check that boxes are [x, y, w, h] in pixels of their image",
    "marked as ignored": 'remove the field "ignore"',
}


@dataclass
class Prepared:
    """One split, checked."""

    path: Path
    images: Path
    document: dict[str, Any]
    orientation: str
    trainable: int
    mask_problems: dict[int, str]
    is_completed: bool

    @property
    def categories(self) -> list[tuple[int, str]]:
        """Ids and names in the order of the labels."""
        return [(row["id"], row["name"]) for row in self.document["categories"]]


def check_instances(content: object, path: Path, format: str = "coco") -> Checked:
    """Check that ``content`` is an annotation file of ``format`` that a training can use.

    Returns:
        The document, its categories ascending by id, and the notes on what was completed.

    Raises:
        InputError: naming the first thing that is not as COCO or LVIS has it.
    """
    if isinstance(content, dict):
        lists = {key: content.get(key) for key in LISTS}
        for key, rows in lists.items():
            if not isinstance(rows, list):
                raise InputError(f"{path}: a list {key!r}", _keys(content), REMEDY)
        for key, rows in lists.items():
            if not rows:
                raise InputError(
                    f"{path}: at least one entry in {key!r}",
                    "an empty list",
                    "a split of backgrounds alone can be neither trained on nor measured: "
                    "annotate some of its images",
                )
    checked = check_document(content, format, str(path))
    document = checked.document
    _check_categories(document["categories"], path)
    document["categories"] = sorted(document["categories"], key=lambda row: row["id"])
    for key, rows in (("image_id", "images"), ("category_id", "categories")):
        known = {row["id"] for row in document[rows]}
        for row in document["annotations"]:
            if row[key] not in known:
                raise InputError(
                    f"{path}: annotations of listed {rows}",
                    f"{key} {row[key]} in annotation {row['id']}, which is not listed",
                    REMEDY,
                )
    return checked


def _keys(content: dict) -> str:
    return f"the keys {', '.join(map(repr, content)) or 'of an empty object'}"[:200]


def _check_categories(rows: list[dict], path: Path) -> None:
    names: list[Any] = [row.get("name") for row in rows]
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"{path}: a name for every category",
                f"{name!r:.40} in categories[{number}]",
                REMEDY,
            )
    if len(set(names)) < len(names):
        twice = {name for name in names if names.count(name) > 1}
        raise InputError(
            f"{path}: one category for each name",
            f"several named {min(twice)!r}",
            "merge them, or give them names of their own",
        )


def open_split(checked: Checked, path: Path, images: Path, split: str, raw: dict) -> Prepared:
    """Open the images, complete their sizes and names, and count what can be used."""
    document, notes = checked.document, list(checked.notes)
    rows = document["images"]
    names = find_images(rows, images)
    opened = open_images(names, images, split)
    paths = [str(images / name) for name in names]
    found = sizes_as_annotated(rows, opened, paths, _is_official(document, split))
    document["images"] = [
        row
        if (row.get("width"), row.get("height")) == size and image_name(row) == name
        else {**row, "file_name": name, "width": size[0], "height": size[1]}
        for row, name, size in zip(rows, names, found.sizes, strict=True)
    ]
    notes += _notes_of_images(rows, document["images"], found)
    sizes = {row["id"]: size for row, size in zip(rows, found.sizes, strict=True)}
    usable = count_usable(document["annotations"], sizes)
    where = f"{path} ({split})"
    if split == "train":
        require_usable(usable, document["annotations"], where)
    else:
        require_measurable(document["annotations"], where)
    if usable.reasons:
        notes.append(str(usable))
    if split == "train":
        notes += _notes_of_classes(document)
    flipped = {key: (height, width) for key, (width, height) in sizes.items()}
    try:
        problems = mask_problems(document["annotations"], flipped)
    except InputError as error:
        raise InputError(f"{path}: {error.expected}", error.got, REMEDY) from None
    if 0 < len(problems) < len(document["annotations"]):
        notes.append(f"{len(problems)} annotations have no usable mask: rows with masks need all")
    for note in notes:
        print(f"{split}: {note}", file=sys.stderr)
    return Prepared(
        *(path, images, document, found.orientation, usable.count, problems),
        is_completed=_is_completed(raw, document, path),
    )


def _is_official(document: dict, split: str) -> bool:
    pairs = [[row["id"], row["name"]] for row in document["categories"]]
    found = (len(document["images"]), categories_sha256(pairs))
    annotations = len(document["annotations"])
    wanted = [(getattr(each, split), each.categories_sha256) for each in OFFICIAL.values()]
    return any(
        found == (own.images, sha256) and own.annotations in (None, annotations)
        for own, sha256 in wanted
    )


def _notes_of_classes(document: dict) -> list[str]:
    used = {row["category_id"] for row in document["annotations"]}
    unused = [row["name"] for row in document["categories"] if row["id"] not in used]
    if not unused:
        return []
    more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
    return [f"no annotation of {', '.join(unused[:5])}{more}: nothing to learn of these classes"]


def _notes_of_images(before: list[dict], after: list[dict], found: Sizes) -> list[str]:
    notes = []
    sized = sum(row.get("width") is None or row.get("height") is None for row in before)
    if sized:
        notes.append(f"{sized} images have no width or height: read from the files")
    renamed = sum(
        image_name(one) != image_name(two) for one, two in zip(before, after, strict=True)
    )
    if renamed:
        notes.append(f"{renamed} file names have Windows separators: read as /")
    if found.orientation == STORED:
        notes.append("boxes count the pixels as stored: images are read without their EXIF turn")
    if found.undecided:
        notes.append(
            f"{len(found.undecided)} images have an EXIF orientation that their size cannot tell, "
            f"the first {found.undecided[0]}: read as turned"
        )
    return notes


def _is_completed(raw: dict, document: dict, path: Path) -> bool:
    """Tell whether the user's own file would be read otherwise than ``document``."""
    with path.open("rb") as stream:
        if stream.read(3).startswith((codecs.BOM_UTF8, b"\x1f\x8b")):  # a mark, or gzip
            return True
    return any(document[key] is not raw[key] and document[key] != raw[key] for key in LISTS)


@dataclass(frozen=True)
class Usable:
    """Counts of one split.

    Attributes:
        total: annotations.
        reasons: how many cannot be trained on, by the first reason.
    """

    total: int
    reasons: Counter[str]

    @property
    def count(self) -> int:
        """Annotations that can be trained on."""
        return self.total - self.reasons.total()

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return f"{self.count} of {self.total} annotations can be trained on; left out: {parts}"


def count_usable(
    rows: Sequence[dict], sizes: dict[int, tuple[int, int]], smallest_image: int = SMALLEST_IMAGE
) -> Usable:
    """Count the annotations that mmdet's data set keeps as objects.

    Args:
        rows: checked annotations, at least one.
        sizes: width and height of each image by its id.
        smallest_image: images with a shorter side are left out.
    """
    box = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    size = np.array([sizes[row["image_id"]] for row in rows], dtype=np.float64).reshape(-1, 2)
    inner = np.minimum(box[:, :2] + box[:, 2:], size) - np.maximum(box[:, :2], 0)
    inner = np.maximum(inner, 0)
    checks = {  # in mmdet's order
        "marked as ignored": np.array([bool(row.get("ignore")) for row in rows], dtype=bool),
        "outside of their image": (inner[:, 0] * inner[:, 1] == 0) & (box[:, 2:] > 0).all(1),
        "with area 0": np.array([row["area"] <= 0 for row in rows], dtype=bool),
        "smaller than one pixel": (box[:, 2:] < 1).any(1),
        "crowds": np.array([bool(row.get("iscrowd")) for row in rows], dtype=bool),
        SMALL: size.min(1) < smallest_image,
    }
    reasons: Counter[str] = Counter()
    open_ = np.ones(len(rows), dtype=bool)
    for reason, fails in checks.items():
        if (open_ & fails).any():
            reasons[reason] = int((open_ & fails).sum())
        open_ &= ~fails
    return Usable(len(rows), reasons)


def require_usable(usable: Usable, rows: Sequence[dict], where: str) -> None:
    """Check that there is something to train on, whatever the size of the images.

    Raises:
        InputError: with the most frequent reason and what to do about it.
    """
    if usable.count or usable.reasons[SMALL]:
        return
    reason = usable.reasons.most_common(1)[0][0]
    raise InputError(
        f"{where}: annotations to train on",
        str(usable),
        NORMALIZED if _are_normalized(rows) else USABLE_REMEDIES[reason],
    )


def _are_normalized(rows: Sequence[dict]) -> bool:
    return all(max(row["bbox"]) <= 1 for row in rows)


def require_measurable(rows: Sequence[dict], where: str) -> None:
    """Check that a split can be measured: at least one annotation counts.

    Raises:
        InputError: if all are crowds.
    """
    if all(row.get("iscrowd") for row in rows):
        raise InputError(
            f"{where}: annotations that count",
            f"{len(rows)} crowds, which are only left out of the count",
            USABLE_REMEDIES["crowds"],
        )
