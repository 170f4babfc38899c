"""The columns of an annotation file, and the ground truth that a protocol makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rankdet.errors import shown
from rankdet.evaluation import fields, metrics
from rankdet.evaluation.columns import GroundTruth

# Ids in the lists of all images, one after another, and the index of the image of each.
ListedIds = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tables:
    """What a checked annotation file holds; G annotations in its order, I images, K categories.

    Images and categories ascend by id.
    """

    image_ids: np.ndarray  # [I]
    image_sizes: np.ndarray  # [I, 2] height, width; 0 if the file does not say
    image_names: list[str]  # [I] "" if the file does not say
    category_ids: np.ndarray  # [K]
    category_names: list[str]  # [K]
    image_id: np.ndarray  # [G]
    category_id: np.ndarray  # [G]
    area: np.ndarray  # [G]
    is_crowd: np.ndarray  # [G]
    is_ignored: np.ndarray  # [G] LVIS: the annotation's own field
    box: np.ndarray | None  # [G, 4], if requested
    # Returns the masks of some annotations, if requested.
    masks_of: Callable[[np.ndarray], list[Any]] | None
    is_federated: bool  # has the fields of LVIS
    frequency: list[str] | None = None  # [K] LVIS
    negative: ListedIds | None = None  # LVIS: categories known to be absent
    not_exhaustive: ListedIds | None = None  # LVIS: categories only partly labeled


def of_document(document: dict[str, Any], iou_types: tuple[str, ...], protocol: str) -> Tables:
    """Return the columns of a parsed document that `annotations.check_document` accepted.

    Raises:
        InputError: if the size of an image is not a count of pixels.
    """
    image_ids, images = _by_id(document["images"])
    category_ids, categories = _by_id(document["categories"])
    rows = document["annotations"]

    def masks_of(places: np.ndarray) -> list[Any]:
        return fields.values(fields.Selected(rows, places), "segmentation", "annotation")

    found = dict[str, Any]()
    if protocol == "lvis":
        found = dict(
            frequency=fields.values(categories, "frequency", "LVIS category"),
            negative=fields.lists_of_ids(images, "neg_category_ids", "LVIS image"),
            not_exhaustive=fields.lists_of_ids(images, "not_exhaustive_category_ids", "LVIS image"),
        )
    return Tables(
        image_ids=image_ids,
        image_sizes=fields.sizes(images),
        image_names=[_file_name(row) for row in images],
        category_ids=category_ids,
        category_names=[_class_name(row) for row in categories],
        image_id=fields.integers(rows, "image_id", "annotation"),
        category_id=fields.integers(rows, "category_id", "annotation"),
        area=fields.numbers(rows, "area", "annotation"),
        is_crowd=fields.flags(rows, "iscrowd", "annotation"),
        is_ignored=fields.flags(rows, "ignore", "annotation"),
        box=fields.boxes(rows, "annotation") if "bbox" in iou_types else None,
        masks_of=masks_of if "segm" in iou_types else None,
        is_federated=_all_have(categories, "frequency") and _all_have(images, "neg_category_ids"),
        **found,
    )


def _all_have(rows: list[Any], key: str) -> bool:
    return all(key in row for row in rows)


def _class_name(category: dict[str, Any]) -> str:
    name = category.get("name", category["id"])
    return name if isinstance(name, str) else shown(name)


def _file_name(image: dict[str, Any]) -> str:
    name = image.get("file_name", image.get("coco_url"))
    return name if isinstance(name, str) else ""


def _by_id(rows: list[Any]) -> tuple[np.ndarray, fields.Selected]:
    """Return the ascending ids and the rows in that order."""
    ids = np.array([row["id"] for row in rows], dtype=np.int64)
    order = np.argsort(ids, kind="stable")
    return ids[order], fields.Selected(rows, order)


def ground_truth(tables: Tables, protocol: str) -> GroundTruth:
    """Return the annotations that count in a protocol, with a warning if some or all do not.

    Args:
        tables: of the annotation file.
        protocol: "coco" or "lvis".

    Raises:
        InputError: if masks were requested and one of these annotations has none.
    """
    places, unlisted = metrics.listed(
        tables.image_id, tables.category_id, tables.image_ids, tables.category_ids
    )
    is_lvis = protocol == "lvis"
    if is_lvis:  # LVIS knows no crowds, honors `ignore`, and drops what has no area
        listed = len(places)
        places = places[tables.area[places] > 0]
        is_ignored = tables.is_ignored[places]
        reasons = metrics.ignored(is_ignored, tables.area[places], "are to be ignored")
        reasons = [(listed - len(places), "have no area"), *reasons]
    else:
        is_ignored = tables.is_crowd[places]
        reasons = metrics.ignored(is_ignored, tables.area[places], "are crowds")
    metrics.warn(len(tables.area), unlisted, reasons)
    return GroundTruth(
        image_ids=tables.image_ids,
        image_sizes=tables.image_sizes,
        category_ids=tables.category_ids,
        category_names=tables.category_names,
        image=np.searchsorted(tables.image_ids, tables.image_id[places]),
        category=np.searchsorted(tables.category_ids, tables.category_id[places]),
        box=None if tables.box is None else tables.box[places],
        area=tables.area[places],
        is_crowd=np.zeros(len(places), dtype=bool) if is_lvis else is_ignored,
        is_ignored=is_ignored,
        segmentation=None if tables.masks_of is None else tables.masks_of(places),
        entry=places,
        image_names=tables.image_names,
        frequency=tables.frequency if is_lvis else None,
        negative=_pair_keys(tables, tables.negative),
        not_exhaustive=_pair_keys(tables, tables.not_exhaustive),
        protocol=protocol,
    )


def _pair_keys(tables: Tables, listed: ListedIds | None) -> np.ndarray:
    """Return the ascending keys of the pairs of image and known category in lists of LVIS."""
    if listed is None:
        return np.zeros(0, dtype=np.int64)
    ids, image = listed
    known = np.isin(ids, tables.category_ids)
    category = np.searchsorted(tables.category_ids, ids[known])
    return np.unique(category.astype(np.int64) * len(tables.image_ids) + image[known])
