"""Polygons of masks: checked and drawn by the compiled rasterizer, all of a file at once.

The rasterizer walks along every edge in steps of a fifth of a pixel and keeps all steps in memory,
about 40 bytes per pixel; numbers that overflow its integers crash the process. A polygon may
extend beyond its image, where it is clipped, but distance and outline length are limited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields
from rankdet.evaluation.mask_limits import are_within, check_size

FURTHEST = 10  # times the longer side of the image; boxes cut from an image overlap it by less
# Pixels. An outline around every third row of a 4000 x 3000 image has as many; 160 MB, 0.2 s.
LONGEST_OUTLINE = 4_000_000
DRAWN_AT_ONCE = 4096  # polygons


def check_polygons(polygons: list[Any], size: Any, what: str) -> None:
    """Check the polygons of one mask.

    Args:
        polygons: lists of x, y, x, y, ... in pixels.
        size: height and width of the image.
        what: the name of the mask in an error.

    Raises:
        InputError: naming the first value that is not a finite number or is too far outside the
            image; if a polygon does not have an even count of 6 or more numbers; if an outline is
            too long, or the size of the image is unknown.
    """
    if not size[0] or not size[1]:
        raise InputError(
            '"height" and "width" of every image with polygons', f"none for {what}", "add them"
        )
    check_size(size, what)
    if not polygons:
        raise _refusal("polygons: [[x, y, x, y, ...], ...]", f"[] in {what}")
    for number, polygon in enumerate(polygons):
        where = f"polygon {number} of {what}"
        if not isinstance(polygon, list | tuple):
            raise _refusal("polygons: [[x, y, x, y, ...], ...]", f"{shown(polygon)} as {where}")
        _check_numbers(polygon, where)
        if len(polygon) < 6 or len(polygon) % 2:
            raise _refusal(
                "polygons of x, y, x, y, x, y, ...: an even count of at least 6 numbers",
                f"{len(polygon)} in {where}",
            )
        _check_reach(fields.as_floats(polygon).reshape(-1, 2), size, where)


def _refusal(expected: str, got: str) -> InputError:
    return InputError(expected, got, "check how the file was written")


def _check_numbers(polygon: Any, where: str) -> None:
    if set(map(type, polygon)) <= {int, float}:
        return
    for place, value in enumerate(polygon):
        if not fields.is_number(type(value)):
            raise _refusal(
                "polygons as lists of numbers x, y, x, y, ...",
                f"{shown(value)} as number {place} of {where}",
            )


def _check_reach(points: np.ndarray, size: Any, where: str) -> None:
    height, width = size
    reach = FURTHEST * max(height, width)
    # NaN fails the comparison too.
    inside = (points >= -reach) & (points <= np.array([width, height]) + reach)
    if not inside.all():
        place = int(np.argmin(inside.ravel()))
        raise _refusal(
            f"finite polygons in pixels, at most {FURTHEST} times the longer side outside the "
            f"image of {width} x {height}",
            f"{points.ravel()[place]:g} as number {place} of {where}",
        )
    steps = np.abs(points - np.roll(points, -1, axis=0)).max(axis=1).sum()
    if steps > LONGEST_OUTLINE:
        raise _refusal(f"outlines of at most {LONGEST_OUTLINE} pixels", f"{steps:.0f} in {where}")


def _are_valid(points: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether `check_polygons` accepts polygons of numbers without looking closer.

    Args:
        points: x, y of all polygons, one after another [points, 2].
        lengths: points of each polygon [P].
        sizes: height and width of the image of each [P, 2].
    """
    first = np.cumsum(lengths) - lengths
    low = np.minimum.reduceat(points, first, axis=0)
    high = np.maximum.reduceat(points, first, axis=0)
    reach = FURTHEST * sizes.max(axis=1, keepdims=True)
    if not ((low >= -reach) & (high <= sizes[:, ::-1] + reach)).all():  # NaN fails this too
        return False
    # No edge is longer than the polygon is wide or high.
    return bool((lengths * (high - low).max(axis=1)).max() < LONGEST_OUTLINE)


def drawn(
    values: Sequence[list[Any]], sizes: np.ndarray, is_needed: np.ndarray
) -> list[dict[str, Any]] | None:
    """Return masks of polygons as compressed RLEs, or None if `check_polygons` must look closer.

    Args:
        values: the polygons of each mask, N of them.
        sizes: height and width of the image of each [N, 2].
        is_needed: which ones are to be drawn [N]; the others are checked only, and {} here.
    """
    polygons = list(chain.from_iterable(values))
    counts = np.fromiter(map(len, values), np.int64, len(values))
    if not len(counts) or counts.min() < 1 or not set(map(type, polygons)) <= {list, tuple}:
        return None
    numbers = np.fromiter(map(len, polygons), np.int64, len(polygons))
    if numbers.min() < 6 or (numbers % 2).any() or not are_within(sizes):
        return None
    coordinates = list(chain.from_iterable(polygons))
    if not set(map(type, coordinates)) <= {int, float}:
        return None
    try:
        flat = np.fromiter(coordinates, np.float64, len(coordinates))
    except OverflowError:
        return None
    del coordinates
    of_polygon = np.repeat(sizes, counts, axis=0)
    if not _are_valid(flat.reshape(-1, 2), numbers // 2, of_polygon):
        return None
    ends = np.cumsum(numbers)
    owner = np.repeat(np.arange(len(values)), counts)
    parts: list[dict[str, Any]] = [{}] * len(polygons)
    for rows in _at_once(of_polygon, np.flatnonzero(is_needed[owner])):
        bounds = zip((ends - numbers)[rows].tolist(), ends[rows].tolist(), strict=True)
        outlines = [flat[start:stop] for start, stop in bounds]
        found = mask_tools.frPyObjects(outlines, *of_polygon[rows[0]].tolist())
        for row, rle in zip(rows.tolist(), found, strict=True):
            parts[row] = rle
    if len(parts) == len(values):
        return parts
    firsts = np.cumsum(counts) - counts
    rles = [parts[first] for first in firsts.tolist()]
    for mask in np.flatnonzero((counts > 1) & is_needed).tolist():
        rles[mask] = mask_tools.merge(parts[firsts[mask] : firsts[mask] + counts[mask]])
    return rles


def _at_once(sizes: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some of the rows, of images of the same size, in order."""
    if not len(rows):
        return
    key = sizes[rows, 0] << 32 | sizes[rows, 1]
    order = np.argsort(key, kind="stable")
    for alike in np.split(rows[order], np.flatnonzero(np.diff(key[order])) + 1):
        for start in range(0, len(alike), DRAWN_AT_ONCE):
            yield alike[start : start + DRAWN_AT_ONCE]
