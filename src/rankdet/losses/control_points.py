"""Parameters of Parameterized AP Loss: piecewise linear functions through control points."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rankdet.errors import InputError, shown

# Searched by the authors (configs/paploss of their repository). Rows: H2, I2, I3, I1, H1; a row is
# x0, y0, x1, y1, ... from (0, 0) to (1, 1).
SEARCHED_CONTROL_POINTS = {
    "retina": (
        (0, 0, 0.4182, 0.0277, 0.4948, 0.2187, 0.6882, 0.2624, 0.802, 0.6688, 1, 1),
        (0, 0, 0.1279, 0.3696, 0.3056, 0.4708, 0.5198, 0.529, 0.6983, 0.6709, 1, 1),
        (0, 0, 0.0931, 0.0289, 0.3607, 0.5585, 0.4823, 0.7131, 0.6291, 0.8162, 1, 1),
        (0, 0, 0.4914, 0.1499, 0.5492, 0.1664, 0.6259, 0.3051, 0.7945, 0.6195, 1, 1),
        (0, 0, 0.413, 0.0798, 0.4356, 0.3571, 0.5361, 0.7063, 0.8097, 0.9083, 1, 1),
    ),
    "rpn": (
        (0, 0, 0.9058, 0.0484, 0.9068, 0.512, 0.9232, 0.7286, 0.9766, 0.9677, 1, 1),
        (0, 0, 0.32, 0.1084, 0.3493, 0.2482, 0.4924, 0.3869, 0.7231, 0.651, 1, 1),
        (0, 0, 0.0935, 0.0419, 0.2177, 0.1168, 0.5857, 0.3748, 0.7962, 0.6683, 1, 1),
        (0, 0, 0.0045, 0.3599, 0.1295, 0.4603, 0.7662, 0.514, 0.8483, 0.5259, 1, 1),
        (0, 0, 0.1764, 0.1081, 0.5245, 0.4907, 0.6956, 0.5668, 0.7642, 0.8645, 1, 1),
    ),
    "roi": (
        (0, 0, 0.3344, 0.0268, 0.546, 0.2461, 0.8196, 0.6466, 0.9467, 0.8617, 1, 1),
        (0, 0, 0.0978, 0.2019, 0.4073, 0.3367, 0.6337, 0.4689, 0.7708, 0.6633, 1, 1),
        (0, 0, 0.2406, 0.0515, 0.3358, 0.5259, 0.6047, 0.6647, 0.8575, 0.7792, 1, 1),
        (0, 0, 0.2574, 0.2363, 0.5442, 0.5999, 0.7165, 0.6548, 0.8728, 0.8331, 1, 1),
        (0, 0, 0.1551, 0.2675, 0.4902, 0.3957, 0.7245, 0.5095, 0.8068, 0.872, 1, 1),
    ),
}


def check_control_points(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the rows as lists of floats.

    Raises:
        InputError: unless there are 4 or 5 rows of 4, 6 or 8 points, from (0, 0) to (1, 1), with x
            never falling.
    """
    rows = _as_lists(rows)
    is_numbers = isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    if not is_numbers or not all(_is_number(each) for row in rows for each in row):
        raise InputError(
            "control_points as 4 or 5 rows of numbers", shown(rows), "see SEARCHED_CONTROL_POINTS"
        )
    if len(rows) not in (4, 5):
        raise InputError(
            "4 or 5 rows of control points: H2, I2, I3, I1 and maybe H1",
            f"{len(rows)} rows",
            "without a fifth row H1 is the step at 0",
        )
    for number, row in enumerate(rows):
        if len(row) not in (8, 12, 16):
            raise InputError(
                "rows of 8, 12 or 16 numbers, x0, y0, x1, y1, ...",
                f"{len(row)} in row {number}",
                "give 4, 6 or 8 points",
            )
        rises = all(a <= b for a, b in pairwise(row[::2]))
        in_range = all(0 <= each <= 1 for each in row)
        if row[:2] != [0, 0] or row[-2:] != [1, 1] or not rises or not in_range:
            raise InputError(
                "control points from (0, 0) to (1, 1) in the unit square, x never falling",
                f"row {number} = {shown(row, 100)}",
                "sort the points by x",
            )
    return [[float(each) for each in row] for row in rows]


def _as_lists(rows: Any) -> Any:
    """Return rows of an array, of arrays or of any sequences as lists of lists."""
    if hasattr(rows, "tolist"):
        return rows.tolist()
    if isinstance(rows, list | tuple):
        return [_as_lists(row) for row in rows]
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
