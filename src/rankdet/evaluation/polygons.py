"""Check polygons before they are rasterized.

The compiled rasterizer walks along every edge in steps of a fifth of a pixel and keeps all steps in
memory, about 40 bytes per pixel; numbers that overflow its integers crash the process. A polygon
may extend beyond its image, where it is clipped, but distance and outline length are limited.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields
from rankdet.evaluation.rle import check_size

FURTHEST = 10  # times the longer side of the image; boxes cut from an image overlap it by less
# Pixels. An outline around every third row of a 4000 x 3000 image has as many; 160 MB, 0.2 s.
LONGEST_OUTLINE = 4_000_000


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
