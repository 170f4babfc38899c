"""Sort detections and ground truth for matching: by class, image, score; and by class, score."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from rankdet.errors import InputError
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.foreign_ids import unknown_image_remedy


@dataclass(frozen=True)
class Arrangement:
    """N kept detections and G annotations, each by (category, image), and the mapping between them.

    Detections of one (category, image) group descend by score, ties in file order; annotations
    keep the file order. ``gt_start`` and ``gt_count`` give each detection its group's annotations.
    """

    row: np.ndarray  # [N] the detection's place in the file
    image: np.ndarray  # [N] index of the image
    category: np.ndarray  # [N] index of the category
    score: np.ndarray  # [N]
    rank: np.ndarray  # [N] place within the group
    group: np.ndarray  # [N] number of the group
    gt_row: np.ndarray  # [G] the annotation's place in the file
    gt_start: np.ndarray  # [N]
    gt_count: np.ndarray  # [N]
    by_score: np.ndarray  # [N] per category, images ascending, stable by descending score


def index_of(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of each ``wanted`` in the ascending ``ids``; -1 if it is missing."""
    found = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[found] == wanted, found, -1)


def _stable_by(values: np.ndarray, count: int) -> np.ndarray:
    """Stable argsort of indices below ``count``: radix sort where they fit in 16 bits."""
    return np.argsort(values.astype(np.uint16) if count < 1 << 16 else values, kind="stable")


def place_detections(
    ground_truth: GroundTruth, detections: Detections
) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of each detection's image [N] and category [N]; category -1 if unknown.

    Raises:
        InputError: if an image is not among the annotations' images.
    """
    image = index_of(ground_truth.image_ids, detections.image_id)
    if (image < 0).any():
        unknown = np.unique(detections.image_id[image < 0])
        raise InputError(
            "detections on the annotated images",
            f"{len(unknown)} unknown image ids: {', '.join(map(str, unknown[:3]))}",
            unknown_image_remedy(ground_truth, detections.image_id, int(unknown[0])),
        )
    category = index_of(ground_truth.category_ids, detections.category_id)
    if (category < 0).any():
        unknown = np.unique(detections.category_id[category < 0])
        warnings.warn(
            f"{int((category < 0).sum())} detections of unknown categories are ignored, as in "
            f"the COCO toolkit: category ids {', '.join(map(str, unknown[:3]))}",
            stacklevel=2,
        )
    return image, category


def arrange(
    ground_truth: GroundTruth,
    image: np.ndarray,
    category: np.ndarray,
    score: np.ndarray,
    rows: np.ndarray,
    per_group: int | None,
) -> Arrangement:
    """Sort detections ``rows`` and keep the best ``per_group`` of each image and category.

    Args:
        ground_truth: the annotations.
        image: index of each detection's image [all].
        category: index of each detection's category [all].
        score: [all].
        rows: the detections to use, in file order.
        per_group: the limit per image and category (COCO: 100); None for no limit (LVIS).
    """
    image_count, category_count = len(ground_truth.image_ids), len(ground_truth.category_ids)
    # One sort of the scores serves both orders: radix sorts by image and category keep it.
    order = rows[_stable_by(image[rows], image_count)]
    order = order[np.argsort(-score[order], kind="stable")]
    by_score = order[_stable_by(category[order], category_count)]
    order = order[_stable_by(image[order], image_count)]
    order = order[_stable_by(category[order], category_count)]

    key = ground_truth.pair_key(image[order], category[order])
    group, rank = _groups(key)
    if per_group is not None and len(rank) and rank.max() >= per_group:
        is_kept = rank < per_group
        order, key, group, rank = order[is_kept], key[is_kept], group[is_kept], rank[is_kept]
    place = np.full(len(score), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    by_score = place[by_score]

    gt_key = ground_truth.pair_key(ground_truth.image, ground_truth.category)
    gt_row = np.argsort(gt_key, kind="stable")
    gt_key = gt_key[gt_row]
    starts = key[rank == 0]
    first = np.searchsorted(gt_key, starts, side="left")
    last = np.searchsorted(gt_key, starts, side="right")
    return Arrangement(
        row=order,
        image=image[order],
        category=category[order],
        score=score[order],
        rank=rank,
        group=group,
        gt_row=gt_row,
        gt_start=first[group],
        gt_count=(last - first)[group],
        by_score=by_score[by_score >= 0],
    )


def _groups(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each row's group of equal keys, and its place within the group."""
    is_first = np.ones(len(ascending), dtype=bool)
    is_first[1:] = ascending[1:] != ascending[:-1]
    group = np.cumsum(is_first) - 1
    return group, np.arange(len(ascending)) - np.flatnonzero(is_first)[group]
