"""Ground truth and detections as columns of numbers.

A list of a million dictionaries costs ten times the memory and time of the same numbers in arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Ints = np.ndarray
Floats = np.ndarray
Bools = np.ndarray


def _no_pairs() -> Ints:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class GroundTruth:
    """The annotations of a dataset; G annotations, I images, K categories.

    ``image`` and ``category`` index ``image_ids`` and ``category_ids``, which ascend. Rows keep
    the order of the file, because ties between equal overlaps go to the last one.
    """

    image_ids: Ints  # [I] ascending
    image_sizes: Ints  # [I, 2] height, width; 0 if the file does not say
    category_ids: Ints  # [K] ascending
    category_names: list[str]  # [K]
    image: Ints  # [G]
    category: Ints  # [G]
    box: Floats  # [G, 4] x, y, w, h
    area: Floats  # [G] the annotation's own field: the mask area in COCO
    is_crowd: Bools  # [G]
    is_ignored: Bools  # [G] in every area range
    segmentation: list[Any] | None = None  # [G] as in the file, if requested
    entry: Ints | None = None  # [G] place of the annotation in the file, for messages
    image_names: list[str] | None = None  # [I] "" if the file does not say
    frequency: list[str] | None = None  # [K] LVIS: r, c or f
    negative: Ints = field(default_factory=_no_pairs)  # LVIS: pair keys known to be absent
    not_exhaustive: Ints = field(default_factory=_no_pairs)  # LVIS: pair keys only partly labeled

    def pair_key(self, image: Ints, category: Ints) -> Ints:
        """One integer for each (category, image) pair, ascending by category, then image."""
        return category.astype(np.int64) * len(self.image_ids) + image


@dataclass(frozen=True)
class Detections:
    """N detections in the order of the file; ids are those of the dataset, not indices."""

    image_id: Ints  # [N]
    category_id: Ints  # [N]
    score: Floats  # [N]
    box: Floats | None = None  # [N, 4] x, y, w, h
    segmentation: list[Any] | None = None  # [N] RLE dictionaries

    def __len__(self) -> int:
        return len(self.score)
