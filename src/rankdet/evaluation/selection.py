"""Some images and categories of a ground truth and its detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rankdet.evaluation.columns import Detections, GroundTruth


def selected_ground_truth(
    truth: GroundTruth, image_ids: Sequence[int], category_ids: Sequence[int]
) -> GroundTruth:
    """Return the annotations of some images and categories.

    Ids that the ground truth does not have stand for images and categories without annotations.

    Args:
        truth: of the COCO protocol.
        image_ids: ascending.
        category_ids: ascending.
    """
    images, categories = np.array(image_ids, np.int64), np.array(category_ids, np.int64)
    if np.array_equal(images, truth.image_ids) and np.array_equal(categories, truth.category_ids):
        return truth
    image_id, category_id = truth.image_ids[truth.image], truth.category_ids[truth.category]
    kept = np.flatnonzero(np.isin(image_id, images) & np.isin(category_id, categories))
    names = dict(zip(truth.category_ids.tolist(), truth.category_names, strict=True))
    sizes = np.zeros((len(images), 2), dtype=np.int64)
    known = np.isin(images, truth.image_ids)
    sizes[known] = truth.image_sizes[np.searchsorted(truth.image_ids, images[known])]
    return replace(
        truth,
        image_ids=images,
        image_sizes=sizes,
        image_names=None,
        category_ids=categories,
        category_names=[names.get(each, str(each)) for each in categories.tolist()],
        image=np.searchsorted(images, image_id[kept]),
        category=np.searchsorted(categories, category_id[kept]),
        box=None if truth.box is None else truth.box[kept],
        area=truth.area[kept],
        is_crowd=truth.is_crowd[kept],
        is_ignored=truth.is_ignored[kept],
        segmentation=(
            None
            if truth.segmentation is None
            else [truth.segmentation[row] for row in kept.tolist()]
        ),
        entry=kept if truth.entry is None else truth.entry[kept],
    )


def selected_detections(found: Detections, truth: GroundTruth) -> tuple[Detections, np.ndarray]:
    """Return the detections on the images and of the categories of ``truth``, and their places.

    Args:
        found: the detections.
        truth: the ground truth, perhaps a selection.
    """
    kept = np.isin(found.image_id, truth.image_ids)
    kept &= np.isin(found.category_id, truth.category_ids)
    if kept.all():
        return found, np.arange(len(found))
    rows = np.flatnonzero(kept)
    masks = found.segmentation
    return Detections(
        found.image_id[rows],
        found.category_id[rows],
        found.score[rows],
        None if found.box is None else found.box[rows],
        None if masks is None else [masks[row] for row in rows.tolist()],
    ), rows
