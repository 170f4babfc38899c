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


class FloatPolygons(list[Any]):
    """Masks whose polygons hold floats only, so that nobody has to look."""


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


def _corners(
    points: np.ndarray, lengths: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the corners of polygons, or None if `check_polygons` must look closer.

    Args:
        points: x, y of all polygons, one after another [points, 2].
        lengths: points of each polygon [P].
        sizes: height and width of the image of each [P, 2].

    Returns:
        The lowest and the highest x, y of each polygon [P, 2].
    """
    first = np.cumsum(lengths) - lengths
    low = np.minimum.reduceat(points, first, axis=0)
    high = np.maximum.reduceat(points, first, axis=0)
    reach = FURTHEST * sizes.max(axis=1, keepdims=True)
    if not ((low >= -reach) & (high <= sizes[:, ::-1] + reach)).all():  # NaN fails this too
        return None
    # No edge is longer than the polygon is wide or high.
    if (lengths * (high - low).max(axis=1)).max() >= LONGEST_OUTLINE:
        return None
    return low, high


class Outlines:
    """The polygons of masks, as columns.

    Args:
        values: the polygons of each mask, N of them.
        sizes: height and width of the image of each [N, 2].

    Attributes:
        heights: rows of pixels from the first to the last of each mask, or a little more [N].

    Raises:
        ValueError: if `check_polygons` must look closer.
    """

    def __init__(self, values: Sequence[list[Any]], sizes: np.ndarray) -> None:
        polygons = list(chain.from_iterable(values))
        self._counts = np.fromiter(map(len, values), np.int64, len(values))
        if self._counts.min() < 1 or not set(map(type, polygons)) <= {list, tuple}:
            raise ValueError
        lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
        if lengths.min() < 6 or (lengths % 2).any() or not are_within(sizes):
            raise ValueError
        coordinates = list(chain.from_iterable(polygons))
        if not isinstance(values, FloatPolygons) and (
            not set(map(type, coordinates)) <= {int, float}
        ):
            raise ValueError
        try:
            self._flat = np.fromiter(coordinates, np.float64, len(coordinates))
        except OverflowError:
            raise ValueError from None
        self._sizes = np.repeat(sizes, self._counts, axis=0)
        corners = _corners(self._flat.reshape(-1, 2), lengths // 2, self._sizes)
        if corners is None:
            raise ValueError
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        self._firsts = np.cumsum(self._counts) - self._counts
        low = np.minimum.reduceat(corners[0][:, 1], self._firsts)
        high = np.maximum.reduceat(corners[1][:, 1], self._firsts)
        # The rasterizer rounds to the nearest pixel.
        top, bottom = np.maximum(np.floor(low) - 1, 0), np.minimum(np.ceil(high) + 1, sizes[:, 0])
        self.heights = np.maximum(bottom - top, 0).astype(np.int64)

    def drawn(self, is_needed: np.ndarray) -> list[dict[str, Any]]:
        """Return the masks as compressed RLEs; {} for those that are not needed [N]."""
        parts: list[dict[str, Any]] = [{}] * len(self._ends)
        for rows in _at_once(self._sizes, np.flatnonzero(np.repeat(is_needed, self._counts))):
            bounds = zip(self._starts[rows].tolist(), self._ends[rows].tolist(), strict=True)
            outlines = [self._flat[start:stop] for start, stop in bounds]
            found = mask_tools.frPyObjects(outlines, *self._sizes[rows[0]].tolist())
            for row, rle in zip(rows.tolist(), found, strict=True):
                parts[row] = rle
        if len(parts) == len(self._counts):
            return parts
        firsts = self._firsts.tolist()
        rles = [parts[first] for first in firsts]
        for mask in np.flatnonzero((self._counts > 1) & is_needed).tolist():
            rles[mask] = mask_tools.merge(parts[firsts[mask] : firsts[mask] + self._counts[mask]])
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
