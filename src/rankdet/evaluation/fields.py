"""One field of many JSON rows as an array, with an error that names the first bad row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from rankdet.errors import InputError

Rows = Sequence[dict[str, Any]]


def values(rows: Rows, key: str, what: str) -> list[Any]:
    """Return ``row[key]`` of every row.

    Raises:
        InputError: if a row is not an object or has no such key.
    """
    try:
        return list(map(itemgetter(key), rows))
    except (KeyError, TypeError, IndexError):
        require_objects(rows, what)
        for number, row in enumerate(rows):
            if key not in row:
                raise InputError(
                    f'"{key}" in every {what}',
                    f"entry {number} without it: {sorted(row)}",
                    "write the file in the COCO layout",
                ) from None
        raise


def require_objects(rows: Sequence[Any], what: str) -> None:
    """Check that every row is a JSON object.

    Raises:
        InputError: naming the first that is not.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(
                f"{what}s as JSON objects", f"{row!r:.60} as entry {number}", "check the file"
            ) from None


def _is_number(kind: type) -> bool:
    return kind in (int, float) or issubclass(kind, (np.integer, np.floating))


def numbers(rows: Rows, key: str, what: str) -> np.ndarray:
    """Return ``row[key]`` as finite float64 [N].

    Raises:
        InputError: if one is missing, not a number, NaN or infinite.
    """
    column = values(rows, key, what)
    if not all(map(_is_number, set(map(type, column)))):
        number = next(i for i, value in enumerate(column) if not _is_number(type(value)))
        raise InputError(
            f'"{key}" of every {what} as a number',
            f"{column[number]!r:.60} in entry {number}",
            "write it as a JSON number",
        )
    array = np.array(column, dtype=np.float64)
    _refuse_non_finite(array, key, what)
    return array


def _refuse_non_finite(array: np.ndarray, key: str, what: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        number = int(np.argwhere(~finite)[0, 0])
        raise InputError(
            f'finite "{key}" in every {what}',
            f"{array[number]} in entry {number}",
            "look for a diverged model or a division by zero where it was written",
        )


def integers(rows: Rows, key: str, what: str) -> np.ndarray:
    """Return ``row[key]`` as int64 [N].

    Raises:
        InputError: if one is missing or not a whole number.
    """
    column = values(rows, key, what)
    if set(map(type, column)) <= {int}:
        try:
            return np.array(column, dtype=np.int64)
        except OverflowError:
            raise InputError(
                f'"{key}" below 2^63', "a larger one", "renumber the dataset"
            ) from None
    array = numbers(rows, key, what)
    whole = array == np.floor(array)
    if not whole.all():
        number = int(np.argmin(whole))
        raise InputError(
            f'"{key}" of every {what} as a whole number',
            f"{column[number]!r:.60} in entry {number}",
            "use integer ids",
        )
    return array.astype(np.int64)


def boxes(rows: Rows, what: str) -> np.ndarray:
    """Return ``row["bbox"]`` as finite float64 [N, 4] (x, y, w, h).

    Raises:
        InputError: if one is missing, has not four numbers, or one is NaN or infinite.
    """
    column = values(rows, "bbox", what)
    try:
        if set(map(len, column)) <= {4}:
            flat = list(chain.from_iterable(column))
            if all(map(_is_number, set(map(type, flat)))):
                array = np.array(flat, dtype=np.float64).reshape(-1, 4)
                _refuse_non_finite(array, "bbox", what)
                return array
    except TypeError:
        pass  # an entry without length: named below
    for number, box in enumerate(column):
        is_box = isinstance(box, (list, tuple, np.ndarray)) and len(box) == 4
        if not is_box or not all(_is_number(type(value)) for value in box):
            raise InputError(
                f'"bbox" of every {what} as four numbers [x, y, w, h]',
                f"{box!r:.60} in entry {number}",
                "check how the file was written",
            )
    return np.zeros((0, 4))
