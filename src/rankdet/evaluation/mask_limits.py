"""The limits of the RLE format, and the error for a malformed mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from rankdet.errors import InputError, shown

MOST_PIXELS = (1 << 29) - 1  # the longest run that a count of six characters holds
LONGEST_SIDE = 1 << 20


def refuse(problem: str, what: str) -> InputError:
    """Return the error for a malformed mask."""
    return InputError(
        'a mask as RLE {"size": [height, width], "counts": ...}',
        f"{problem} in {what}",
        "encode masks with pycocotools.mask.encode and decode its bytes as ASCII",
    )


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


def are_within(sizes: np.ndarray) -> bool:
    """Whether `check_size` accepts all of the int64 ``sizes`` [N, 2]."""
    if ((sizes < 1) | (sizes > LONGEST_SIDE)).any():
        return False
    return bool((sizes[:, 0] * sizes[:, 1] <= MOST_PIXELS).all())
