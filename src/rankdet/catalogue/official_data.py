"""What is known of the official data sets: how a set is told from another of the same name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OfficialSplit:
    """Counts of one split; ``annotations`` is None where no public source states it."""

    images: int
    annotations: int | None


@dataclass(frozen=True)
class OfficialSet:
    """A data set as the official runs had it.

    Attributes:
        title: for people.
        categories: how many.
        categories_sha256: of ``[[id, name], ...]`` by id, as JSON without spaces in ASCII.
        train, val: its splits.
    """

    title: str
    categories: int
    categories_sha256: str
    train: OfficialSplit
    val: OfficialSplit


# Counts: cocodataset.org and lvisdataset.org; of Cityscapes, the images that mmdet's converter
# writes. Names and ids of LVIS: mmdet's LVISV1Dataset.METAINFO.
OFFICIAL = {
    "coco": OfficialSet(
        "COCO 2017",
        80,
        "37e7aa108afaf8263d864d8e8ea31cdeefc8b2ef1047c779af820962b96417a4",
        OfficialSplit(118_287, 860_001),
        OfficialSplit(5000, 36_781),
    ),
    "lvis": OfficialSet(
        "LVIS v1",
        1203,
        "9d92cc66643f2eeca64bb462691571efca0b1f74289db7a5ba89d2ad4ea11ac3",
        OfficialSplit(100_170, 1_270_141),
        OfficialSplit(19_809, 244_707),
    ),
    "cityscapes": OfficialSet(
        "Cityscapes",
        8,
        "40595aecb377bd15e7d53285401849b470513c442ed24aceccd4633a4656121b",
        OfficialSplit(2975, None),
        OfficialSplit(500, None),
    ),
}


def official_set(data: Mapping[str, Any]) -> str | None:
    """Return which official set the ``data`` of a run.json is: a key of `OFFICIAL`, or None.

    Published weights were trained elsewhere: their record has the validation split alone.
    """
    return next((name for name in OFFICIAL if is_official(data, name)), None)


def is_official(data: Mapping[str, Any], name: str) -> bool:
    """Return whether the record says in counts and classes that this is the official set."""
    return is_described(data) and not difference(data, name)


def is_described(data: Mapping[str, Any], splits: Collection[str] = ("val",)) -> bool:
    """Return whether the record says which data it is of; one of an older version does not."""
    keys = ["categories", "categories_sha256"]
    keys += [f"{split}_{count}" for split in splits for count in ("images", "annotations")]
    return all(key in data for key in keys)


def difference(data: Mapping[str, Any], name: str) -> str:
    """Return in a few words what the set has and the official one has not; "" if they agree."""
    official = OFFICIAL[name]
    classes, images = data.get("categories"), data.get("val_images")
    if (classes, images) != (official.categories, official.val.images):
        return f"{_count(images)} images, {_count(classes)} classes"
    if data.get("categories_sha256") != official.categories_sha256:
        return f"{_count(classes)} classes of other names or ids"
    splits = {"val": official.val}
    if "train_images" in data or "train_sha256" in data:
        splits["train"] = official.train
    for split, wanted in splits.items():
        images, found = data.get(f"{split}_images"), data.get(f"{split}_annotations")
        if images != wanted.images or found != (wanted.annotations or found) or found is None:
            return f"{split} split of {_count(images)} images, {_count(found)} annotations"
    return ""


def _count(value: object) -> str:
    return str(value) if isinstance(value, int) else "unknown"
