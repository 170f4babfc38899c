"""Check run-length encodings in bulk: truncated strings, invalid characters, wrong totals.

The compiled decoder does not check its input, so every mask from a file is checked here first. The
check also gives the pixel counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown

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
