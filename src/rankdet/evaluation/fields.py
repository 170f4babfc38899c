"""Read one field of many JSON rows as an array; errors name the first invalid row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from rankdet.errors import InputError, shown

Rows = Sequence[dict[str, Any]]
# Returns the fix for a value that is text, from the value and its row.
Remedy = Callable[[str, dict[str, Any]], str]
LARGEST = 2**63


class Selected(list[Any]):
    """Some of the rows of a file, with their indices in the file for error messages."""

    def __init__(self, rows: Sequence[Any], chosen: np.ndarray) -> None:
        super().__init__(rows[index] for index in chosen.tolist())
        self.places: np.ndarray = rows.places[chosen] if isinstance(rows, Selected) else chosen


class Block(list[Any]):
    """Consecutive rows of a file, starting at index ``start``."""

    def __init__(self, rows: Sequence[Any], start: int) -> None:
        super().__init__(rows)
        self.places = range(start, start + len(rows))


def _place(rows: Rows, number: int) -> int:
    return int(rows.places[number]) if isinstance(rows, Selected | Block) else number


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
                    f"entry {_place(rows, number)} without it: {shown(sorted(map(str, row)), 100)}",
                    "write the file in the COCO layout",
                ) from None
        raise


def require_objects(rows: Rows, what: str) -> None:
    """Check that every row is a JSON object.

    Raises:
        InputError: naming the first that is not.
    """
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise InputError(
                f"{what}s as JSON objects",
                f"{shown(row)} as entry {_place(rows, number)}",
                "check the file",
            ) from None


def is_number(kind: type) -> bool:
    """Whether values of this type are numbers; booleans and text are not."""
    return kind in (int, float) or issubclass(kind, (np.integer, np.floating))


def numbers(rows: Rows, key: str, what: str, remedy: Remedy | None = None) -> np.ndarray:
    """Return ``row[key]`` as finite float64 [N].

    Raises:
        InputError: if one is missing, not a number, NaN or infinite.
    """
    column = values(rows, key, what)
    if not all(map(is_number, set(map(type, column)))):
        number = next(i for i, value in enumerate(column) if not is_number(type(value)))
        raise InputError(
            f'"{key}" of every {what} as a number',
            f"{shown(column[number])} in entry {_place(rows, number)}",
            _fix(column[number], rows[number], remedy),
        )
    array = as_floats(column)
    _refuse_non_finite(array, key, what, rows)
    return array


def _fix(value: Any, row: dict[str, Any], remedy: Remedy | None) -> str:
    if isinstance(value, str) and remedy is not None:
        return remedy(value, row)
    return "write it as a JSON number"


def as_floats(column: Sequence[Any]) -> np.ndarray:
    """Return numbers as float64; integers that are too large become infinite."""
    try:
        return np.array(column, dtype=np.float64)
    except OverflowError:
        return np.array([_float(value) for value in column])


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _refuse_non_finite(array: np.ndarray, key: str, what: str, rows: Rows) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        number = int(np.argwhere(~finite)[0, 0])
        row = array[number] if array.ndim == 1 else array[number].tolist()
        raise InputError(
            f'finite "{key}" in every {what}',
            f"{row} in entry {_place(rows, number)}",
            "check for a diverged model or a division by zero in the program that wrote it",
        )


def integers(rows: Rows, key: str, what: str, remedy: Remedy | None = None) -> np.ndarray:
    """Return ``row[key]`` as int64 [N].

    Args:
        rows: of the file.
        key: the field.
        what: what a row is, in errors.
        remedy: how to fix text that should be a number.

    Raises:
        InputError: if one is missing or not an integer.
    """
    column = values(rows, key, what)
    if not set(map(type, column)) <= {int}:
        array = numbers(rows, key, what, remedy)
        whole = array == np.floor(array)
        if not whole.all():
            number = int(np.argmin(whole))
            raise InputError(
                f'"{key}" of every {what} as an integer',
                f"{shown(column[number])} in entry {_place(rows, number)}",
                "use integer ids",
            )
        column = list(map(int, column))
    try:
        return np.array(column, dtype=np.int64)
    except OverflowError:
        number = next(i for i, value in enumerate(column) if not -LARGEST <= value < LARGEST)
        raise InputError(
            f'"{key}" below 2^63 in every {what}',
            f"{shown(column[number])} in entry {_place(rows, number)}",
            "renumber the dataset",
        ) from None


def not_negative(array: np.ndarray, key: str, what: str, rows: Rows) -> np.ndarray:
    """Return ``array`` [N], read from the field ``key`` of ``rows``.

    Raises:
        InputError: naming the first row where it is below 0.
    """
    if len(array) and array.min() < 0:
        number = int(np.argmax(array < 0))
        raise InputError(
            f'"{key}" >= 0 in every {what}',
            f"{array[number]} in entry {_place(rows, number)}",
            "check how the file was written",
        )
    return array


def flags(rows: Rows, key: str, what: str) -> np.ndarray:
    """Return ``row[key]`` as bool [N]: 0, 1, false or true; a row without it counts as 0.

    Raises:
        InputError: if one is anything else, such as the text "0".
    """
    column = [row.get(key, 0) for row in rows]
    try:
        known = set(column) <= {0, 1}
    except TypeError:  # a list or an object
        known = False
    if not known or not all(map(_is_flag, set(map(type, column)))):
        number = next(
            i for i, value in enumerate(column) if not _is_flag(type(value)) or value not in (0, 1)
        )
        raise InputError(
            f'"{key}" of every {what} as 0 or 1',
            f"{shown(column[number])} in entry {_place(rows, number)}",
            "write 0 or 1, as a JSON number",
        )
    return np.array(column, dtype=bool)


def _is_flag(kind: type) -> bool:
    return is_number(kind) or kind in (bool, np.bool_)


def lists_of_ids(rows: Rows, key: str, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids in the lists ``row[key]``, one after another, and the index of each one's row.

    Raises:
        InputError: if one is not a list of integers.
    """
    lists = values(rows, key, what)
    for number, each in enumerate(lists):
        if not isinstance(each, list | tuple):
            raise InputError(
                f'"{key}" of every {what} as a list of ids',
                f"{shown(each)} in entry {_place(rows, number)}",
                "write [] if there are none",
            )
    owner = np.repeat(np.arange(len(rows)), [len(each) for each in lists])
    flat = Selected(rows, owner)
    flat[:] = [{key: value} for each in lists for value in each]
    return integers(flat, key, what), owner


def sizes(images: Rows) -> np.ndarray:
    """Return height and width of every image as int64 [I, 2]; 0 if the file does not say.

    Raises:
        InputError: if one is text, negative or not an integer.
    """
    found = np.zeros((len(images), 2), dtype=np.int64)
    for column, key in enumerate(("height", "width")):
        stated = np.flatnonzero([row.get(key) is not None for row in images])
        rows = Selected(images, stated)
        found[stated, column] = not_negative(integers(rows, key, "image"), key, "image", rows)
    return found


def boxes(rows: Rows, what: str) -> np.ndarray:
    """Return ``row["bbox"]`` as finite float64 [N, 4] (x, y, w, h).

    Raises:
        InputError: if one is missing, has not four numbers, one is NaN or infinite, or the width
            or height is negative.
    """
    column = values(rows, "bbox", what)
    try:
        if set(map(len, column)) <= {4}:
            flat = list(chain.from_iterable(column))
            if all(map(is_number, set(map(type, flat)))):
                array = as_floats(flat).reshape(-1, 4)
                _refuse_non_finite(array, "bbox", what, rows)
                _refuse_negative_sides(array, what, rows)
                return array
    except TypeError:
        pass  # an entry without length: named below
    for number, box in enumerate(column):
        is_box = isinstance(box, (list, tuple, np.ndarray)) and len(box) == 4
        if not is_box or not all(is_number(type(value)) for value in box):
            raise InputError(
                f'"bbox" of every {what} as four numbers [x, y, w, h]',
                f"{shown(box)} in entry {_place(rows, number)}",
                "check how the file was written",
            )
    return np.zeros((0, 4))


def _refuse_negative_sides(boxes: np.ndarray, what: str, rows: Rows) -> None:
    is_negative = (boxes[:, 2:] < 0).any(axis=1)
    if is_negative.any():
        number = int(np.argmax(is_negative))
        raise InputError(
            f'"bbox" [x, y, w, h] with w, h >= 0 in every {what}',
            f"{boxes[number].tolist()} in entry {_place(rows, number)}",
            "convert corners [x1, y1, x2, y2] with w = x2 - x1, h = y2 - y1, x1 <= x2, y1 <= y2",
        )
