"""Whether two sets of annotations and detections share images, whatever their files are called.

A calibration that is tested on the images it was fitted to looks better than it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np

from rankdet.errors import InputError
from rankdet.evaluation.columns import Detections, GroundTruth

# Images with equal annotations: of at least so many, or of the same file name.
ENOUGH_ANNOTATIONS = 3
ENOUGH_DETECTIONS = {True: 2, False: 5}  # with and without boxes


def refuse_common_images(
    first: GroundTruth, first_found: Detections, second: GroundTruth, second_found: Detections
) -> None:
    """Check that no image is in both sets.

    An image is known by its id and file name together, by its annotations (at least three, or
    fewer under the same file name), and by its detections (at least two boxes, to the last digit).

    Args:
        first: annotations of the one set.
        first_found: its detections.
        second: annotations of the other.
        second_found: its detections.

    Raises:
        InputError: naming the first image that is in both.
    """
    known: dict[bytes, int] = {}
    for image, mark in _marks(first, first_found):
        known.setdefault(mark, image)
    common = {image: known[mark] for image, mark in _marks(second, second_found) if mark in known}
    if common:
        image, other = next(iter(common.items()))
        raise InputError(
            "images to test on that are not those of the fit",
            f"{len(common)} images in both, such as id {image} (id {other} in the fit)",
            "use another split, or --hold-out to divide one data set",
        )


def _marks(truth: GroundTruth, found: Detections) -> Iterator[tuple[int, bytes]]:
    """Yield image ids and what identifies the images, from up to three sides."""
    ids = truth.image_ids.tolist()
    names = [PurePosixPath(name.replace("\\", "/")).name for name in truth.image_names or []]
    names += [""] * (len(ids) - len(names))
    categories = np.array([hash_of(name) for name in truth.category_names], dtype=np.uint64)
    columns: list[np.ndarray] = [categories[truth.category], truth.area]
    if truth.box is not None:
        columns.append(truth.box)
    annotations = _rows_of_images(truth.image, len(ids), columns)
    image = np.searchsorted(truth.image_ids, found.image_id)
    columns = [found.score] + ([] if found.box is None else [found.box])
    detections = _rows_of_images(image, len(ids), columns)
    sides = zip(ids, names, truth.image_sizes.tolist(), annotations, detections, strict=True)
    for key, name, size, marked, detected in sides:
        if name:
            yield key, b"name" + f"{key} {name}".encode()
            if marked[0]:
                yield key, b"named" + name.encode() + marked[1]
        if marked[0] >= ENOUGH_ANNOTATIONS:
            yield key, b"marked" + str(size).encode() + marked[1]
        if detected[0] >= ENOUGH_DETECTIONS[found.box is not None]:
            yield key, b"found" + detected[1]


def hash_of(text: str) -> int:
    """Return 64 bits that depend on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _rows_of_images(
    image: np.ndarray, images: int, columns: list[np.ndarray]
) -> list[tuple[int, bytes]]:
    """Return the number of the rows of each image, and a hash of them in any order."""
    if not len(image):
        return [(0, b"")] * images
    parts = [np.ascontiguousarray(column).reshape(len(image), -1) for column in columns]
    bits = np.column_stack([part.astype(part.dtype, copy=False).view(np.uint64) for part in parts])
    order = np.lexsort((*bits.T, image))
    bounds = np.searchsorted(image[order], np.arange(images + 1))
    return [
        (stop - start, hashlib.sha256(bits[order[start:stop]].tobytes()).digest())
        for start, stop in pairwise(bounds.tolist())
    ]
