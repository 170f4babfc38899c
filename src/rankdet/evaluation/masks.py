"""Masks as run-length encodings (RLE): check polygons and RLE, rasterize, compute overlaps.

The compiled rasterizer walks along every edge in steps of a fifth of a pixel and keeps all steps in
memory, about 40 bytes per pixel; numbers that overflow its integers crash the process. A polygon
may extend beyond its image, where it is clipped, but distance and outline length are limited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.errors import InputError, shown
from rankdet.evaluation import fields, masks
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.matching import Arrangement, Overlaps, joined

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


CHARACTERS_AT_ONCE = 1 << 17
LONGEST_COUNT = 6  # characters, 30 bits with the sign
MOST_PIXELS = (1 << 29) - 1  # the longest run that such a count holds
LONGEST_SIDE = 1 << 20


def refuse(problem: str, what: str) -> InputError:
    """Return the error for a malformed mask."""
    return InputError(
        'a mask as RLE {"size": [height, width], "counts": ...}',
        f"{problem} in {what}",
        "encode masks with pycocotools.mask.encode and decode its bytes as ASCII",
    )


def check_layout(row: Any, size: Sequence[int], what: str) -> None:
    """Check everything but the encoded runs; ``size`` is the image's, zeros if unknown.

    Raises:
        InputError: if ``row`` is not an RLE, or not of this size.
    """
    if not isinstance(row, dict) or "size" not in row or "counts" not in row:
        raise refuse(shown(row), what)
    own, counts = row["size"], row["counts"]
    if not isinstance(own, (list, tuple)) or len(own) != 2 or not all(map(_is_count, own)):
        raise refuse(f"size {shown(own)}", what)
    check_size(own, what)
    if size[0] and size[1] and list(own) != list(size):
        raise refuse(f"size {list(own)} for an image of {list(size)}", what)
    if isinstance(counts, list):
        if not all(map(_is_count, counts)):
            raise refuse("runs that are not counts", what)
        total = sum(map(int, counts))  # numpy's small integers would wrap around
        if total != own[0] * own[1]:
            raise refuse(f"runs of {shown(total)} pixels for {own[0] * own[1]}", what)
    elif type(counts) not in (str, bytes):  # the compiled decoder takes no other
        raise refuse(f"counts of type {type(counts).__name__}", what)
    elif not counts.isascii():
        raise refuse("counts with an invalid character", what)


def check_size(size: Any, what: str) -> None:
    """Check that an image of ``size`` (height, width) is within the limits of the RLE format.

    Raises:
        InputError: if it has no pixels, or too many.
    """
    if min(size) < 1:
        raise refuse(f"size {list(size)}, without pixels,", what)
    if max(size) > LONGEST_SIDE or int(size[0]) * int(size[1]) > MOST_PIXELS:
        raise InputError(
            f"masks of at most {MOST_PIXELS} pixels and {LONGEST_SIDE} pixels a side",
            f"{shown(list(size))} in {what}",
            "correct the size, or evaluate boxes",
        )


def _is_count(value: Any) -> bool:
    """Whether ``value`` is an integer >= 0 of Python or numpy; True is not."""
    return isinstance(value, int | np.integer) and type(value) is not bool and bool(value >= 0)


def pixel_counts(
    texts: Sequence[str | bytes], pixels: Sequence[int], what: list[str]
) -> np.ndarray:
    """Decode compressed counts and return the mask areas [N].

    Args:
        texts: the ``counts`` of each RLE, ASCII.
        pixels: height * width of each.
        what: the name of each in an error.

    Raises:
        InputError: naming the first string that is truncated or does not add up to its image.
    """
    if not texts:
        return np.zeros(0)
    ends = np.cumsum([len(text) for text in texts])
    parts, start = [], 0
    while start < len(texts):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + CHARACTERS_AT_ONCE)), start + 1)
        block = slice(start, stop)
        parts.append(_block_areas(texts[block], np.array(pixels[block]), what[block]))
        start = stop
    return np.concatenate(parts).astype(np.float64)


def _block_areas(texts: Sequence[str | bytes], pixels: np.ndarray, what: list[str]) -> np.ndarray:
    joined = b"".join(text if isinstance(text, bytes) else text.encode("ascii") for text in texts)
    length = np.array([len(text) for text in texts])
    _refuse_first(length == 0, "an empty string of counts", what)
    code = np.frombuffer(joined, dtype=np.uint8) - np.uint8(48)  # wraps below "0"
    after = np.cumsum(length)
    if code.max() > 63:
        foreign = np.add.reduceat(code > 63, after - length) > 0
        _refuse_first(foreign, "counts with an invalid character", what)
    _refuse_first(code[after - 1] & 32 > 0, "truncated counts", what)  # a count without its end

    run, end = _numbers(code)
    if run is None:
        raise refuse("a count that is too long", what[int(np.searchsorted(after, end, "right"))])
    stop = np.searchsorted(end, after)  # of each mask, among the numbers
    first = np.concatenate([[0], stop[:-1]])
    count = stop - first
    place = np.arange(len(run)) - np.repeat(first, count)
    is_odd = (place & 1).astype(bool)
    for chosen in (is_odd, ~is_odd & (place > 0)):
        # From the fourth on, a number is the difference to the last but one.
        running = np.zeros(len(run) + 1, dtype=np.int64)
        np.cumsum(np.where(chosen, run, 0), out=running[1:])
        np.copyto(run, running[1:] - np.repeat(running[first], count), where=chosen)
    if run.min() < 0:
        _refuse_first(np.add.reduceat(run < 0, first) > 0, "a negative run", what)
    wrong = np.add.reduceat(run, first) != pixels
    _refuse_first(wrong, "runs that do not add up to the image", what)
    return np.add.reduceat(np.where(is_odd, run, 0), first)


def _numbers(code: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the signed numbers and the place of the last character of each.

    Six bits a character: five of the number, low ones first, and whether more follow. None and a
    place if a number is too long.
    """
    end = np.flatnonzero(code < 32)
    start = np.concatenate([[0], end[:-1] + 1])
    length = end - start + 1
    if length.max() > LONGEST_COUNT:
        return None, end[np.argmax(length)]
    number = (code[start] & 31).astype(np.int64)
    for more in range(1, int(length.max())):
        longer = np.flatnonzero(length > more)
        number[longer] |= (code[start[longer] + more] & 31).astype(np.int64) << (5 * more)
    negative = np.flatnonzero(code[end] & 16)  # the sign bit is in the last character
    number[negative] -= np.int64(1) << (5 * length[negative])
    return number, end


def _refuse_first(is_bad: np.ndarray, problem: str, what: list[str]) -> None:
    if is_bad.any():
        raise refuse(problem, what[int(np.argmax(is_bad))])


Rle = dict[str, Any]


def checked_masks(
    segmentations: Sequence[Any], sizes: Sequence[Sequence[int]], what: Sequence[str]
) -> tuple[list[Rle], np.ndarray]:
    """Return compressed RLEs and their pixel counts [N] from RLEs or polygons.

    Args:
        segmentations: polygons (merged by union) or {"size", "counts"}, N of them.
        sizes: height and width of each one's image; zeros if unknown.
        what: the name of each in an error.

    Raises:
        InputError: on a malformed mask.
    """
    rles: list[Any] = [None] * len(segmentations)
    area = np.zeros(len(segmentations))
    compressed = []
    for number, (value, size) in enumerate(zip(segmentations, sizes, strict=True)):
        if isinstance(value, list):
            check_polygons(value, size, what[number])
            rles[number] = _from_polygons(value, size)
            continue
        masks.check_layout(value, size, what[number])
        if isinstance(value["counts"], list):
            rles[number] = mask_tools.frPyObjects(value, *value["size"])
            area[number] = sum(map(int, value["counts"][1::2]))
        else:
            rles[number] = value
            compressed.append(number)
    area[compressed] = masks.pixel_counts(
        [rles[number]["counts"] for number in compressed],
        [int(rles[number]["size"][0]) * int(rles[number]["size"][1]) for number in compressed],
        [what[number] for number in compressed],
    )
    for number, value in enumerate(segmentations):
        if isinstance(value, list):
            area[number] = mask_tools.area(rles[number])
    return rles, area


def _from_polygons(polygons: list[Any], size: Sequence[int]) -> Rle:
    rles = mask_tools.frPyObjects(polygons, *size)
    return mask_tools.merge(rles) if len(rles) > 1 else rles[0]


def check_mask(value: Any, size: Sequence[int], what: str) -> None:
    """Check polygons or an RLE without drawing them.

    Args:
        value: as in a COCO annotation.
        size: height and width of its image.
        what: its name in an error.

    Raises:
        InputError: if it is not a mask of an image of this size.
    """
    if isinstance(value, list):
        check_polygons(value, size, what)
        return
    masks.check_layout(value, size, what)
    if not isinstance(value["counts"], list):
        masks.pixel_counts([value["counts"]], [size[0] * size[1]], [what])


def boxes(rles: Iterable[Rle]) -> np.ndarray:
    """Tight boxes x, y, w, h of masks [N, 4]."""
    return np.array([mask_tools.toBbox(each) for each in rles], dtype=np.float64).reshape(-1, 4)


def ground_truth_masks(ground_truth: GroundTruth, gt_row: np.ndarray) -> list[Rle]:
    """Compressed RLEs of the annotations ``gt_row``.

    Raises:
        InputError: on a malformed polygon or RLE.
    """
    rows = gt_row.tolist()
    sizes = ground_truth.image_sizes[ground_truth.image[gt_row]].tolist()
    every = ground_truth.segmentation or []
    segmentations = [every[row] for row in rows]
    entries = gt_row if ground_truth.entry is None else ground_truth.entry[gt_row]
    return checked_masks(segmentations, sizes, [f"annotation {row}" for row in entries.tolist()])[0]


def detection_masks(
    found: Detections,
    ground_truth: GroundTruth,
    image: np.ndarray,
    iou_type: str,
    area: str,
) -> tuple[list[Rle], np.ndarray]:
    """Compressed RLEs and pixel counts of all detections where they are needed, else nothing.

    Raises:
        InputError: if they are needed and absent, or malformed.
    """
    if iou_type == "bbox" and found.box is not None and area != "mask":
        return [], np.zeros(0)
    if area == "box" and found.box is None:
        raise InputError(
            "detections with boxes, for box areas", "only masks", 'use area "mask" or "auto"'
        )
    if found.segmentation is None:
        raise InputError(
            '"segmentation" in every detection', "only boxes", "evaluate boxes, with box areas"
        )
    sizes = ground_truth.image_sizes[image].tolist()
    names = [f"detection {row}" for row in range(len(found))]
    return checked_masks(found.segmentation, sizes, names)


def mask_overlaps(
    arrangement: Arrangement,
    dt_masks: list[Rle],
    gt_masks: list[Rle],
    is_crowd: np.ndarray,
    lowest: float,
) -> Overlaps:
    """Pairs of masks with IoU >= ``lowest``, group by group in the compiled module.

    Args:
        arrangement: the sorted groups.
        dt_masks: compressed RLEs in the arrangement's order [N].
        gt_masks: compressed RLEs in the arrangement's order [G].
        is_crowd: in the arrangement's order [G].
        lowest: the lowest IoU threshold.
    """
    crowd = is_crowd.astype(np.uint8)
    starts = np.flatnonzero(arrangement.rank == 0)
    stops = np.append(starts, len(arrangement.rank))[1:]
    parts = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        first, count = int(arrangement.gt_start[start]), int(arrangement.gt_count[start])
        if not count:
            continue
        last = first + count
        iou = mask_tools.iou(dt_masks[start:stop], gt_masks[first:last], crowd[first:last])
        detection, annotation = np.nonzero(iou >= lowest)
        parts.append((detection + start, annotation + first, iou[detection, annotation]))
    return joined(parts)
