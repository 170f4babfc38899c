"""Decode a sample into control points of five functions and a gradient scale per head.

Source: Tao et al., NeurIPS 2021, and the official code of its search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rankdet.errors import InputError

FUNCTIONS = ("H2", "I2", "I3", "I1", "H1")  # the order of the rows of control points
INNER = 4  # points of a function between (0, 0) and (1, 1)
PER_HEAD = len(FUNCTIONS) * 2 * INNER + 1  # 41; the last one is the gradient scale

# The start: points at 0.2, 0.4, 0.6, 0.8 of the identity, and a gradient scale of 1.
START = (*(share for k in range(INNER) for share in (1 / (INNER + 1 - k),) * 2),) * 5 + (0.5,)


def control_points(shares: Sequence[float]) -> list[float]:
    """Turn the numbers of one function (8) into its row x0, y0, ..., x5, y5 (12).

    Stick breaking in each coordinate: p_k = p_(k-1) + share_k (1 - p_(k-1)), so that points never
    decrease. All shares 0 give points at (0, 0), all 1 points at (1, 1).
    """
    row = [0.0, 0.0]
    for place, share in enumerate(shares):
        row.append(min(1.0, row[place] + share * (1.0 - row[place])))
    return [*row, 1.0, 1.0]


def gradient_scale(share: float) -> float:
    """Return 10^(2 share - 1): 0.1 to 10."""
    return math.pow(10.0, 2.0 * share - 1.0)


def meaning(theta: Sequence[float], heads: Sequence[str]) -> dict[str, dict]:
    """Return control points and gradient scale by head.

    Args:
        theta: numbers in [0, 1], 41 for each head.
        heads: names of the heads, in the order of the numbers.

    Raises:
        InputError: if there are more or fewer numbers, or one outside [0, 1].
    """
    if len(theta) != PER_HEAD * len(heads) or not all(0 <= share <= 1 for share in theta):
        raise InputError(
            f"{PER_HEAD} numbers in [0, 1] for each of {len(heads)} heads",
            f"{len(theta)} numbers, {min(theta, default=0)} to {max(theta, default=0)}",
            "use the theta of a sample of this search",
        )
    found = {}
    for place, head in enumerate(heads):
        own = theta[place * PER_HEAD : (place + 1) * PER_HEAD]
        rows = [control_points(own[k : k + 2 * INNER]) for k in range(0, PER_HEAD - 1, 2 * INNER)]
        found[head] = {"control_points": rows, "box_gradient_scale": gradient_scale(own[-1])}
    return found
