"""What of a split can be trained on and measured, counted before the training as mmdet filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rankdet.errors import InputError

SMALL = "on images below 32 pixels"
SMALLEST_IMAGE = 32  # pixels of the shorter side: the `min_size` of every entry's train loader
NORMALIZED = "the boxes lie between 0 and 1: multiply them by width and height"
REMEDY = {
    "with area 0": 'leave the field "area" out: it is then computed',
    "crowds": "set iscrowd to 0 where a box holds one object",
    "smaller than one pixel": NORMALIZED,
    "outside of their image": "check that boxes are [x, y, w, h] in pixels of their image",
    "marked as ignored": 'remove the field "ignore"',
}


@dataclass(frozen=True)
class Usable:
    """Counts of one split.

    Attributes:
        total: annotations.
        reasons: how many cannot be trained on, by the first reason.
    """

    total: int
    reasons: Counter[str]

    @property
    def count(self) -> int:
        """Annotations that can be trained on."""
        return self.total - self.reasons.total()

    def __str__(self) -> str:
        parts = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return f"{self.count} of {self.total} annotations can be trained on; left out: {parts}"


def count_usable(
    rows: Sequence[dict], sizes: dict[int, tuple[int, int]], smallest_image: int = SMALLEST_IMAGE
) -> Usable:
    """Count the annotations that mmdet's data set keeps as objects.

    Args:
        rows: checked annotations, at least one.
        sizes: width and height of each image by its id.
        smallest_image: images with a shorter side are left out.
    """
    box = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
    size = np.array([sizes[row["image_id"]] for row in rows], dtype=np.float64).reshape(-1, 2)
    inner = np.minimum(box[:, :2] + box[:, 2:], size) - np.maximum(box[:, :2], 0)
    inner = np.maximum(inner, 0)
    checks = {  # in mmdet's order
        "marked as ignored": np.array([bool(row.get("ignore")) for row in rows], dtype=bool),
        "outside of their image": (inner[:, 0] * inner[:, 1] == 0) & (box[:, 2:] > 0).all(1),
        "with area 0": np.array([row["area"] <= 0 for row in rows], dtype=bool),
        "smaller than one pixel": (box[:, 2:] < 1).any(1),
        "crowds": np.array([bool(row.get("iscrowd")) for row in rows], dtype=bool),
        SMALL: size.min(1) < smallest_image,
    }
    reasons: Counter[str] = Counter()
    open_ = np.ones(len(rows), dtype=bool)
    for reason, fails in checks.items():
        if (open_ & fails).any():
            reasons[reason] = int((open_ & fails).sum())
        open_ &= ~fails
    return Usable(len(rows), reasons)


def require_usable(usable: Usable, rows: Sequence[dict], where: str) -> None:
    """Check that there is something to train on, whatever the size of the images.

    Raises:
        InputError: with the most frequent reason and what to do about it.
    """
    if usable.count or usable.reasons[SMALL]:
        return
    reason = usable.reasons.most_common(1)[0][0]
    raise InputError(
        f"{where}: annotations to train on",
        str(usable),
        NORMALIZED if _are_normalized(rows) else REMEDY[reason],
    )


def _are_normalized(rows: Sequence[dict]) -> bool:
    return all(max(row["bbox"]) <= 1 for row in rows)


def require_measurable(rows: Sequence[dict], where: str) -> None:
    """Check that a split can be measured: at least one annotation counts.

    Raises:
        InputError: if all are crowds.
    """
    if all(row.get("iscrowd") for row in rows):
        raise InputError(
            f"{where}: annotations that count",
            f"{len(rows)} crowds, which are only left out of the count",
            REMEDY["crowds"],
        )
