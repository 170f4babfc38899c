"""The rules specific to LVIS: 300 detections per image and federated ground truth."""

from __future__ import annotations

import numpy as np

from rankdet.evaluation.columns import GroundTruth

PER_IMAGE = 300


def best_per_image(image: np.ndarray, score: np.ndarray, limit: int = PER_IMAGE) -> np.ndarray:
    """Return the rows of the ``limit`` highest scores of each image, in file order; ties stable."""
    order = np.argsort(-score, kind="stable")
    order = order[np.argsort(image[order], kind="stable")]
    grouped = image[order]
    is_first = np.ones(len(grouped), dtype=bool)
    is_first[1:] = grouped[1:] != grouped[:-1]
    starts = np.flatnonzero(is_first)
    rank = np.arange(len(grouped)) - starts[np.cumsum(is_first) - 1]
    return np.sort(order[rank < limit])


def federated_rows(
    ground_truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    score: np.ndarray,
    area: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the detections that LVIS evaluates, and which are ignored when they match nothing.

    A category is evaluated on an image where it has annotations or is known to be absent; where it
    is only partly labeled, unmatched detections are no false positives.

    Args:
        ground_truth: with the federated fields.
        image: index of each detection's image [N].
        category: index of each detection's category [N]; -1 unknown.
        score: [N].
        area: [N].

    Returns:
        The rows in file order, and a flag for each of the N.
    """
    rows = best_per_image(image, score)
    rows = rows[(category[rows] >= 0) & (area[rows] > 0)]
    key = ground_truth.pair_key(image, category)
    annotated = ground_truth.pair_key(ground_truth.image, ground_truth.category)
    judged = np.union1d(annotated, ground_truth.negative)
    return rows[np.isin(key[rows], judged)], np.isin(key, ground_truth.not_exhaustive)
