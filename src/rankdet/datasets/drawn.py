"""`rankdet prepare drawn`: a handful of small drawn images in the layout of a paper's data set.

For preset rehearsal: what a paper training reads, from the categories to the corner cases, without
the paper's images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rankdet.datasets.coco import prepare_coco
from rankdet.datasets.manifest import Manifest, load_manifest
from rankdet.errors import InputError, nearest
from rankdet.files import read_json
from rankdet.outputs import write_json

# Ids of COCO's 80 categories: 1 to 90 without these.
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
CATEGORIES = {
    "coco": [number for number in range(1, 91) if number not in COCO_GAPS],
    "lvis": list(range(1, 1204)),
    "cityscapes": list(range(24, 32)),
}
# Width and height of the images, in turn. Those to train on are wide: batches have one orientation,
# so that an epoch of them is one step.
SIZES = {
    "train": ((168, 120), (160, 96), (152, 112), (144, 120), (128, 96), (168, 96)),
    "val": ((168, 120), (120, 168), (128, 128), (160, 96)),
}
COUNTS = {"train": 12, "val": 4}
CITY_COUNTS = {"train": 2, "val": 4}  # these rows go through their set eight times an epoch
MARK = "drawn.json"  # says that a folder is this package's own
VERSION = 1


def prepare_drawn(out: str | Path, like: str = "coco", seed: int = 0) -> Manifest:
    """Draw the set into the folder ``out``; one that is there already is kept.

    Args:
        out: a new or empty folder, or one that this function made.
        like: "coco", "lvis" or "cityscapes": categories and format.
        seed: same seed, same images.

    Returns:
        The manifest, also written to ``out/dataset.json``.

    Raises:
        InputError: if ``like`` is unknown, or ``out`` holds something else.
    """
    out = Path(out)
    if like not in CATEGORIES:
        raise InputError(" or ".join(CATEGORIES), repr(like), nearest(like, CATEGORIES))
    mark = {"like": like, "seed": seed, "version": VERSION}
    is_own = _is_own(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not is_own):
        raise InputError("a new or empty folder", f"{out} with other content", "choose another")
    is_same = is_own and read_json(out / MARK, "the mark of a drawn set") == mark
    if is_same and (out / "dataset.json").is_file():
        return load_manifest(out)
    write_json(out / MARK, mark)
    for split, count in (CITY_COUNTS if like == "cityscapes" else COUNTS).items():
        _draw_split(out, split, like, count, np.random.default_rng([seed, count]))
    kind = "lvis" if like == "lvis" else "coco"
    return prepare_coco(out, out / "dataset.json", f"drawn-{like}", format=kind)


def _is_own(out: Path) -> bool:
    """Tell whether this function made ``out``: a file of the mark's name may be another's."""
    if not (out / MARK).is_file():
        return False
    try:
        content = read_json(out / MARK)
    except InputError:
        return False
    return isinstance(content, dict) and {"like", "seed", "version"} == set(content)


def _draw_split(root: Path, split: str, like: str, count: int, draw: np.random.Generator) -> None:
    folder = "leftImg8bit" if like == "cityscapes" else ""
    images_dir = root / folder / (split if folder else f"{split}2017")
    images_dir.mkdir(parents=True, exist_ok=True)
    ids = CATEGORIES[like]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        width, height = SIZES[split][index % len(SIZES[split])]
        canvas = draw.integers(0, 80, (height, width, 3)).astype(np.uint8)
        image = {"id": index + 1, "width": width, "height": height}
        for row in _objects(index, width, height, draw):
            polygon = row.pop("polygon")
            color = draw.integers(90, 255, 3).tolist()
            cv2.fillPoly(canvas, [np.int32(polygon).reshape(-1, 1, 2)], color)
            category = ids[int(draw.integers(len(ids)))]
            annotations.append(_annotation(len(annotations) + 1, image, category, polygon, row))
        name = f"{image['id']:012d}.jpg"
        if not cv2.imwrite(str(images_dir / name), canvas):
            raise OSError(f"{images_dir / name} could not be written")
        where = f"{split}2017/{name}"
        named = {"coco_url": f"http://images.cocodataset.org/{where}"}
        images.append(image | (named if like == "lvis" else {"file_name": name}))
    content = {"images": images, "annotations": annotations, "categories": _categories(like)}
    if like == "lvis":
        _add_lvis(content)
    write_json(root / "annotations" / ANNOTATIONS[like].format(split), content, indent=None)


ANNOTATIONS = {
    "coco": "instances_{}2017.json",
    "lvis": "lvis_v1_{}.json",
    "cityscapes": "instancesonly_filtered_gtFine_{}.json",
}


def _objects(index: int, width: int, height: int, draw: np.random.Generator) -> Iterator[dict]:
    """Yield the objects of an image: outlines, some with a corner case of real annotations."""
    if index == 3:
        return  # an image without objects
    for number in range(2 + index % 4):
        side = draw.uniform(0.2, 0.6, 2) * (width, height)
        corner = draw.uniform(0, 1, 2) * ((width, height) - side)
        angles = np.linspace(0, 2 * np.pi, 4 + 4 * (number % 3), endpoint=False) + np.pi / 4
        outline = np.stack([np.cos(angles), np.sin(angles)], 1)
        outline /= np.abs(outline).max(0)
        yield {"polygon": corner + side * (outline + 1) / 2}
    tiny = np.array([[5.0, 5], [5.6, 5], [5.6, 5.6], [5, 5.6]])
    if index == 1:
        yield {"polygon": tiny}  # smaller than a pixel: training skips it
    if index == 2:
        beyond = np.array([[-9.0, 10], [20, 10], [20, 40], [-9, 40]])
        yield {"polygon": beyond}  # partly outside of the image
    if index == 4:
        crowd = np.array([[60.0, 30], [110, 30], [110, 90], [60, 90]])
        yield {"polygon": crowd, "iscrowd": 1}


def _annotation(number: int, image: dict, category: int, polygon: np.ndarray, more: dict) -> dict:
    low, high = polygon.min(0), polygon.max(0)
    x, y = polygon.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    outline: object = [np.round(polygon, 2).flatten().tolist()]
    if more.get("iscrowd"):
        outline = _run_lengths(polygon, image["width"], image["height"])
    return {
        "id": number,
        "image_id": image["id"],
        "category_id": category,
        "bbox": np.round([*low, *(high - low)], 2).tolist(),
        "area": round(float(area), 2),
        "iscrowd": more.get("iscrowd", 0),
        "segmentation": outline,
    }


def _run_lengths(polygon: np.ndarray, width: int, height: int) -> dict:
    """Return the uncompressed run lengths of a filled outline, by column, as COCO has crowds."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.int32(polygon).reshape(-1, 1, 2)], 1)
    flat = mask.T.flatten()
    changes = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff([0, *changes, len(flat)])
    return {"size": [height, width], "counts": counts.tolist()}


def _categories(like: str) -> list[dict]:
    return [{"id": number, "name": f"category {number}"} for number in CATEGORIES[like]]


def _add_lvis(content: dict) -> None:
    """Add what LVIS says besides: frequency groups, and which categories were looked for."""
    annotated: dict[int, set[int]] = {}
    for row in content["annotations"]:
        row.pop("iscrowd")
        if isinstance(row["segmentation"], dict):  # LVIS has no crowds
            left, top, wide, high = row["bbox"]
            edge = [left, top, left + wide, top, left + wide, top + high, left, top + high]
            row["segmentation"] = [edge]
        annotated.setdefault(row["category_id"], set()).add(row["image_id"])
    for category in content["categories"]:
        images = annotated.get(category["id"], set())
        group = "r" if len(images) < 2 else "c" if len(images) < 3 else "f"
        category.update(frequency=group, image_count=len(images))
        category["instance_count"] = sum(
            row["category_id"] == category["id"] for row in content["annotations"]
        )
    for image in content["images"]:
        own = {k for k, images in annotated.items() if image["id"] in images}
        others = [k for k in CATEGORIES["lvis"] if k not in own]
        image.update(neg_category_ids=others[:3], not_exhaustive_category_ids=sorted(own)[:1])
