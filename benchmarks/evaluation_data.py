"""Synthetic COCO and LVIS data of the size of the validation sets, the same on every run.

Classes are as imbalanced as in COCO, images contain few classes, and detections resemble those of a
trained detector: some near each object, the rest background of mostly the same classes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

HEIGHT, WIDTH = 480, 640


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw boxes of log-uniform size within the image [count, 4]."""
    side = np.exp(rng.uniform(np.log(8), np.log(400), (count, 1)))
    aspect = np.exp(rng.normal(0, 0.4, (count, 1)))
    size = np.minimum(np.hstack([side * aspect, side / aspect]), [WIDTH - 2, HEIGHT - 2])
    return np.hstack([rng.uniform(0, 1, (count, 2)) * ([WIDTH, HEIGHT] - size), size]).round(2)


def _jitter(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    amount = rng.choice([0.03, 0.08, 0.2, 0.5], (len(box), 1))
    size = box[:, [2, 3, 2, 3]]
    moved = box + rng.normal(0, 1, box.shape) * amount * size
    moved[:, :2] = np.clip(moved[:, :2], 0, [WIDTH - 4, HEIGHT - 4])
    moved[:, 2:] = np.clip(moved[:, 2:], 2, [WIDTH, HEIGHT] - moved[:, :2])
    return moved.round(2)


def _polygon(box: np.ndarray) -> list[float]:
    """Return an ellipse in the box as 24 vertices."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x = box[0] + box[2] / 2 * (1 + np.cos(angle))
    y = box[1] + box[3] / 2 * (1 + np.sin(angle))
    return np.column_stack([x, y]).round(2).ravel().tolist()


def make(
    folder: Path,
    images: int = 5000,
    classes: int = 80,
    objects: int = 36_000,
    per_image: int = 100,
    palette_size: int = 4,
    with_masks: bool = False,
    lvis: bool = False,
    seed: int = 0,
) -> None:
    """Write ``annotations.json`` and ``detections.json`` into ``folder``."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, classes + 1) ** 0.9
    share = weight / weight.sum()
    palette = np.array([rng.choice(classes, palette_size, p=share) for _ in range(images)])
    image = np.sort(rng.choice(images, objects, p=rng.dirichlet(np.full(images, 1.5))))
    category = palette[image, rng.integers(0, palette_size, objects)]
    box = _boxes(rng, objects)
    crowd = rng.random(objects) < 0.012

    copies = rng.integers(0, 5, objects)
    near = np.repeat(np.arange(objects), copies)
    dt_image = image[near]
    near_score = rng.beta(3, 2, len(near))
    room = per_image - np.bincount(dt_image, minlength=images)
    far_image = np.repeat(np.arange(images), np.maximum(room, 0))
    is_present = rng.random(len(far_image)) < 0.6
    far_category = np.where(
        is_present,
        palette[far_image, rng.integers(0, palette_size, len(far_image))],
        rng.choice(classes, len(far_image), p=weight / weight.sum()),
    )
    columns = (
        np.concatenate([dt_image, far_image]),
        np.concatenate([category[near], far_category]),
        np.concatenate([_jitter(rng, box[near]), _boxes(rng, len(far_image))]),
        np.concatenate([near_score, rng.beta(0.7, 6, len(far_image))]).round(5),
    )
    order = np.lexsort((-columns[3], columns[0]))
    dt_image, dt_category, dt_box, dt_score = (column[order] for column in columns)
    keep = np.arange(len(order)) - np.searchsorted(dt_image, dt_image) < per_image

    annotations = [
        {
            "id": number + 1,
            "image_id": int(image[number]) + 1,
            "category_id": int(category[number]) + 1,
            "bbox": box[number].tolist(),
            "area": float(round(box[number, 2] * box[number, 3] * 0.7, 2)),
            "iscrowd": int(crowd[number]),
            "segmentation": [_polygon(box[number])],
        }
        for number in range(objects)
    ]
    columns = (dt_image[keep] + 1, dt_category[keep] + 1, dt_box[keep], dt_score[keep])
    folder.mkdir(parents=True, exist_ok=True)
    _write_detections(folder / "detections.json", columns, with_masks)
    document = {
        "info": {"description": f"synthetic, seed {seed}"},
        "images": [
            {"id": i + 1, "height": HEIGHT, "width": WIDTH, "file_name": f"{i + 1}.jpg"}
            for i in range(images)
        ],
        "categories": [{"id": i + 1, "name": f"class{i + 1}"} for i in range(classes)],
        "annotations": annotations,
    }
    if lvis:
        _federate(document, rng)
    (folder / "annotations.json").write_text(json.dumps(document))


def _federate(document: dict, rng: np.random.Generator) -> None:
    """Add the fields of LVIS: frequencies, and what is absent or only partly labeled."""
    classes = len(document["categories"])
    for row in document["categories"]:  # a quarter frequent, two fifths rare, as in LVIS v1
        row["frequency"] = "fcr"[int(row["id"] > classes * 0.25) + int(row["id"] > classes * 0.6)]
    present: dict[int, set[int]] = {row["id"]: set() for row in document["images"]}
    for row in document["annotations"]:
        present[row["image_id"]].add(row["category_id"])
        row["iscrowd"] = 0
    for row in document["images"]:
        absent = set(rng.integers(1, classes + 1, 8).tolist()) - present[row["id"]]
        row["neg_category_ids"] = sorted(absent)
        row["not_exhaustive_category_ids"] = sorted(present[row["id"]])[: int(rng.random() < 0.3)]


def _write_detections(path: Path, columns: tuple[np.ndarray, ...], with_masks: bool) -> None:
    """Write the results array, as json.dumps would, some rows at a time."""
    with path.open("w") as stream:
        for start in range(0, len(columns[0]), 50_000):
            parts = (column[start : start + 50_000].tolist() for column in columns)
            rows = [
                {"image_id": image, "category_id": category, "bbox": box, "score": score}
                for image, category, box, score in zip(*parts, strict=True)
            ]
            if with_masks:
                _replace_boxes_by_masks(rows)
            stream.write((", " if start else "[") + json.dumps(rows)[1:-1])
        stream.write("]")


def _replace_boxes_by_masks(detections: list[dict]) -> None:
    from pycocotools import mask as mask_tools

    for row in detections:
        polygon = [_polygon(np.array(row.pop("bbox")))]
        rle = mask_tools.frPyObjects(polygon, HEIGHT, WIDTH)[0]
        row["segmentation"] = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=36_000)
    parser.add_argument("--per-image", type=int, default=100)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--palette-size", type=int, default=4, help="classes of an image")
    parser.add_argument("--lvis", action="store_true")
    parser.add_argument("--with-masks", action="store_true")
    arguments = vars(parser.parse_args())
    make(**arguments)
