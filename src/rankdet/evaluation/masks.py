"""Masks as run-length encodings (RLE): check RLEs and polygons, count pixels, compute overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.errors import InputError, shown
from rankdet.evaluation.columns import Detections, GroundTruth, Rles
from rankdet.evaluation.mask_limits import are_within, check_size, refuse
from rankdet.evaluation.polygons import (
    FURTHEST,
    LONGEST_OUTLINE,
    FloatPolygons,
    Outlines,
    check_polygons,
)

__all__ = ["FURTHEST", "LONGEST_OUTLINE", "Masks", "check_mask", "checked_masks"]

CHARACTERS_AT_ONCE = 1 << 17
LONGEST_COUNT = 6  # characters, 30 bits with the sign
Rle = dict[str, Any]


@dataclass(frozen=True)
class Masks:
    """N checked masks; one that was not drawn is empty."""

    rles: Sequence[Rle]  # [N] compressed
    area: np.ndarray  # [N] pixels
    left: np.ndarray  # [N] column of the first pixel
    right: np.ndarray  # [N] column after the last pixel
    height: np.ndarray  # [N] at most so many rows have pixels

    def chosen(self, rows: np.ndarray) -> list[Rle]:
        """The RLEs of some rows."""
        if isinstance(self.rles, Rles):
            sizes, counts = self.rles.sizes[rows].tolist(), self.rles.counts
            pairs = zip(sizes, rows.tolist(), strict=True)
            return [{"size": size, "counts": counts[row]} for size, row in pairs]
        return [self.rles[row] for row in rows.tolist()]


class Names(Sequence[str]):
    """Names of masks in errors, made when they are needed.

    Args:
        kind: of the mask, such as "detection".
        numbers: of the masks in their file.
    """

    def __init__(self, kind: str, numbers: Sequence[int] | np.ndarray) -> None:
        self._kind, self._numbers = kind, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Names(self._kind, self._numbers[index])
        return f"{self._kind} {self._numbers[index]}"


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


def _is_count(value: Any) -> bool:
    """Whether ``value`` is an integer >= 0 of Python or numpy; True is not."""
    return isinstance(value, int | np.integer) and type(value) is not bool and bool(value >= 0)


def pixel_counts(
    texts: Sequence[str | bytes], pixels: Sequence[int] | np.ndarray, what: Sequence[str]
) -> np.ndarray:
    """Decode compressed counts and return the mask areas [N].

    Args:
        texts: the ``counts`` of each RLE, ASCII.
        pixels: height * width of each.
        what: the name of each in an error.

    Raises:
        InputError: naming the first string that is truncated or does not add up to its image.
    """
    return _extents(texts, np.asarray(pixels), what)[0].astype(np.float64)


def _extents(
    texts: Sequence[str | bytes], pixels: np.ndarray, what: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return area, first pixel, and the place after the last pixel of each mask [N]."""
    if not len(texts):
        return (np.zeros(0, dtype=np.int64),) * 3
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    parts, start = [], 0
    while start < len(texts):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + CHARACTERS_AT_ONCE)), start + 1)
        block = slice(start, stop)
        parts.append(_block_extents(texts[block], pixels[block], what[block]))
        start = stop
    area, first, end = (np.concatenate(column) for column in zip(*parts, strict=True))
    return area, first, end


def _block_extents(
    texts: Sequence[str | bytes], pixels: np.ndarray, what: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    length = np.fromiter(map(len, texts), np.int64, len(texts))
    _refuse_first(length == 0, "an empty string of counts", what)
    code = np.frombuffer(_joined(texts), dtype=np.uint8) - np.uint8(48)  # wraps below "0"
    after = np.cumsum(length)
    if code.max() > 63:
        foreign = np.add.reduceat(code > 63, after - length) > 0
        _refuse_first(foreign, "counts with an invalid character", what)
    _refuse_first(code[after - 1] & 32 > 0, "truncated counts", what)  # a count without its end

    number, longer = _numbers(code, after, what)
    first = (after - length) - np.searchsorted(longer, after - length)  # of each mask's numbers
    count = np.diff(first, append=len(number))
    start = number[first]
    lowest, totals, last = _chains(number, first, count)
    _refuse_first((lowest < 0) | (start < 0), "a negative run", what)
    _refuse_first(
        totals.sum(axis=0) + start != pixels, "runs that do not add up to the image", what
    )
    # The foreground stands at the other places than the first number. Behind it, there may be a
    # last run of background.
    is_odd = first & 1
    area = np.where(is_odd, totals[0], totals[1])
    tail = np.where(count == 1, start, np.where(is_odd, last[1], last[0]))
    return area, start, pixels - np.where(count & 1, tail, 0)


def _joined(texts: Sequence[Any]) -> bytes:
    if set(map(type, texts)) == {str}:
        return "".join(texts).encode("ascii")
    return b"".join(text if isinstance(text, bytes) else text.encode("ascii") for text in texts)


def _chains(
    number: np.ndarray, first: np.ndarray, count: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the runs of each mask, those at even and those at odd places of the block.

    From the fourth on, a number is the difference to the run before the last: the runs of
    foreground, and of background from the second one on, are two chains of sums.

    Args:
        number: all numbers of the block.
        first: place of the first number of each mask [N].
        count: of its numbers [N].

    Returns:
        A number below 0 where a run is [N]; the sums of the runs [2, N]; the last runs [2, N].
    """
    lowest, totals, last = [], [], []
    is_odd = first & 1
    for parity in range(2):
        of_parity = number[parity::2]
        sums = np.empty(len(of_parity) + 2, dtype=np.int64)
        sums[0] = sums[-1] = 0
        running = sums[1:]
        np.cumsum(of_parity, out=running[:-1])
        begin = (first + 1 - parity) >> 1  # of the chain, in numbers of this parity
        # The first number of a mask starts the chain of the background, but is no part of it: that
        # chain counts from behind it. With the 0 in front, this is where the foreground's counts
        # from, too.
        has_first = is_odd if parity else 1 - is_odd
        members = (count + has_first) >> 1
        base = sums[begin + has_first]
        bounds = np.append(begin, len(of_parity))
        low = np.minimum.reduceat(running, bounds)[:-1] - base
        total = np.add.reduceat(running, bounds)[:-1] - base * members
        if not members.all():
            low[members == 0] = total[members == 0] = 0
        lowest.append(low)
        totals.append(total)
        last.append(running[begin + members - 1] - base)
    return np.minimum(*lowest), np.stack(totals), np.stack(last)


def _numbers(
    code: np.ndarray, after: np.ndarray, what: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the signed numbers, and the places of characters before the last of their number.

    Six bits a character: five of the number, low ones first, and whether more follow. The highest
    bit of the last character is the sign. Nearly all numbers are of one character.
    """
    is_end = code < 32
    number = (((code & 31) ^ 16) - np.uint8(16)).view(np.int8)[is_end].astype(np.int64)
    longer = np.flatnonzero(code > 31)
    if not len(longer):
        return number, longer
    start = np.concatenate([[0], np.flatnonzero(longer[1:] - longer[:-1] > 1) + 1])
    length = np.diff(start, append=len(longer)) + 1  # of numbers, which start among the longer
    if length.max() > LONGEST_COUNT:
        place = longer[start[np.argmax(length)]]
        raise refuse("a count that is too long", what[int(np.searchsorted(after, place, "right"))])
    begin = longer[start]
    value = (code[begin] & 31).astype(np.int64)
    for more in range(1, int(length.max())):
        rows = np.flatnonzero(length > more)
        value[rows] |= (code[begin[rows] + more] & 31).astype(np.int64) << (5 * more)
    negative = np.flatnonzero(code[begin + length - 1] & 16)
    value[negative] -= np.int64(1) << (5 * length[negative])
    number[begin - start] = value  # as many characters as numbers before it, less the longer ones
    return number, longer


def _refuse_first(is_bad: np.ndarray, problem: str, what: Sequence[str]) -> None:
    if is_bad.any():
        raise refuse(problem, what[int(np.argmax(is_bad))])


def checked_masks(
    segmentations: Sequence[Any], sizes: Any, what: Sequence[str]
) -> tuple[Sequence[Rle], np.ndarray]:
    """Return compressed RLEs and their pixel counts [N] from RLEs or polygons.

    Args:
        segmentations: polygons (merged by union) or {"size", "counts"}, N of them.
        sizes: height and width of each one's image [N, 2]; zeros if unknown.
        what: the name of each in an error.

    Raises:
        InputError: on a malformed mask.
    """
    found = prepared(segmentations, sizes, what)
    return found.rles, found.area.astype(np.float64)


def prepared(
    segmentations: Sequence[Any],
    sizes: Any,
    what: Sequence[str],
    is_needed: np.ndarray | None = None,
) -> Masks:
    """Check masks, and draw the polygons that are needed.

    Args:
        segmentations: polygons (merged by union) or {"size", "counts"}, N of them.
        sizes: height and width of each one's image [N, 2]; zeros if unknown.
        what: the name of each in an error.
        is_needed: which polygons are to be drawn [N]; the other ones are only checked, and have an
            area of 0 here. Default: all.

    Raises:
        InputError: on a malformed mask.
    """
    sizes = np.asarray(sizes, dtype=np.int64).reshape(-1, 2)
    if is_needed is None:
        is_needed = np.ones(len(segmentations), dtype=bool)
    rles, outlined, heights = _laid_out(segmentations, sizes, is_needed)
    if rles is None:
        rles = _checked_one_by_one(segmentations, sizes, what)
    count = len(rles)
    if isinstance(rles, Rles):
        is_drawn = np.ones(count, dtype=bool)
        texts, own = rles.counts, rles.sizes
    else:
        is_drawn = np.fromiter(map(bool, rles), np.bool_, count)
        texts = [rle["counts"] for rle in rles if rle]
        flat = chain.from_iterable(rle["size"] for rle in rles if rle)
        own = np.fromiter(flat, np.int64, 2 * len(texts)).reshape(-1, 2)
    rows = np.flatnonzero(is_drawn)
    names = what if len(rows) == count else [what[row] for row in rows.tolist()]
    area, left, right, height = (np.zeros(count, dtype=np.int64) for _ in range(4))
    height[rows] = own[:, 0]
    area[rows], first, end = _extents(texts, own[:, 0] * own[:, 1], names)
    left[rows], right[rows] = first // own[:, 0], -(-end // own[:, 0])
    height[outlined] = heights
    return Masks(rles, area, left, right, height)


def _laid_out(
    segmentations: Sequence[Any], sizes: np.ndarray, is_needed: np.ndarray
) -> tuple[Sequence[Rle] | None, np.ndarray, np.ndarray]:
    """Return RLEs with all but their runs checked, or None if one needs a closer look.

    And the places of those that were polygons, with their heights.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if isinstance(segmentations, Rles):
        good = _are_sizes(segmentations.sizes, sizes) and _are_ascii(segmentations.counts)
        return segmentations if good else None, nothing, nothing
    is_list = (type(each) is list for each in segmentations)
    kinds = np.fromiter(is_list, np.bool_, len(segmentations))
    rles = list(segmentations)
    encoded, outlined = np.flatnonzero(~kinds), np.flatnonzero(kinds)
    if not _are_encoded([rles[row] for row in encoded.tolist()], sizes[encoded]):
        return None, nothing, nothing
    if not len(outlined):
        return rles, nothing, nothing
    kind = FloatPolygons if isinstance(segmentations, FloatPolygons) else list
    try:
        outlines = Outlines(kind(rles[row] for row in outlined.tolist()), sizes[outlined])
    except ValueError:
        return None, nothing, nothing
    drawn = outlines.drawn(is_needed[outlined])
    for row, rle in zip(outlined.tolist(), drawn, strict=True):
        rles[row] = rle
    return rles, outlined, outlines.heights


def _are_encoded(rows: list[Any], sizes: np.ndarray) -> bool:
    """Whether `check_layout` accepts all rows, and their counts are compressed."""
    if not set(map(type, rows)) <= {dict}:
        return False
    own = [row.get("size") for row in rows]
    texts = [row.get("counts") for row in rows]
    if not set(map(type, own)) <= {list} or not set(map(len, own)) <= {2}:
        return False
    if not set(map(type, chain.from_iterable(own))) <= {int}:
        return False
    try:
        flat = np.fromiter(chain.from_iterable(own), np.int64, 2 * len(own))
    except OverflowError:
        return False
    return _are_sizes(flat.reshape(-1, 2), sizes) and _are_ascii(texts)


def _are_sizes(own: np.ndarray, of_image: np.ndarray) -> bool:
    is_known = (of_image > 0).all(axis=1)
    return are_within(own) and bool((own == of_image).all(axis=1)[is_known].all())


def _are_ascii(texts: list[Any]) -> bool:
    return set(map(type, texts)) <= {str, bytes} and all(map(_is_ascii, texts))


def _is_ascii(text: str | bytes) -> bool:
    return text.isascii()


def _checked_one_by_one(
    segmentations: Sequence[Any], sizes: np.ndarray, what: Sequence[str]
) -> list[Rle]:
    rles: list[Rle] = []
    for value, size, name in zip(segmentations, sizes.tolist(), what, strict=True):
        if isinstance(value, list):
            check_polygons(value, size, name)
            parts = mask_tools.frPyObjects(value, *size)
            rles.append(mask_tools.merge(parts) if len(parts) > 1 else parts[0])
            continue
        check_layout(value, size, name)
        is_compressed = not isinstance(value["counts"], list)
        rles.append(value if is_compressed else mask_tools.frPyObjects(value, *value["size"]))
    return rles


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
    check_layout(value, size, what)
    if not isinstance(value["counts"], list):
        pixel_counts([value["counts"]], [size[0] * size[1]], [what])


def boxes(masks: Masks) -> np.ndarray:
    """Tight boxes x, y, w, h of masks [N, 4]."""
    parts = [np.zeros((0, 4))]
    for start in range(0, len(masks.rles), 4096):
        rows = np.arange(start, min(start + 4096, len(masks.rles)))
        parts.append(mask_tools.toBbox(masks.chosen(rows)))
    return np.concatenate(parts)


def ground_truth_masks(
    ground_truth: GroundTruth, gt_row: np.ndarray, is_needed: np.ndarray
) -> Masks:
    """Check the masks of the annotations ``gt_row`` [G], and draw those that are needed [G].

    Raises:
        InputError: on a malformed polygon or RLE.
    """
    every = ground_truth.segmentation or []
    kind = FloatPolygons if isinstance(every, FloatPolygons) else list
    segmentations = kind(every[row] for row in gt_row.tolist())
    entries = gt_row if ground_truth.entry is None else ground_truth.entry[gt_row]
    sizes = ground_truth.image_sizes[ground_truth.image[gt_row]]
    return prepared(segmentations, sizes, Names("annotation", entries), is_needed)


def detection_masks(
    found: Detections,
    ground_truth: GroundTruth,
    image: np.ndarray,
    iou_type: str,
    area: str,
) -> Masks | None:
    """Check the masks of all detections where they are needed.

    Raises:
        InputError: if they are needed and absent, or malformed.
    """
    if iou_type == "bbox" and found.box is not None and area != "mask":
        return None
    if area == "box" and found.box is None:
        raise InputError(
            "detections with boxes, for box areas", "only masks", 'use area "mask" or "auto"'
        )
    if found.segmentation is None:
        raise InputError(
            '"segmentation" in every detection', "only boxes", "evaluate boxes, with box areas"
        )
    count = len(found)
    sizes = ground_truth.image_sizes[image]
    names = Names("detection", range(count))
    return prepared(found.segmentation, sizes, names)
