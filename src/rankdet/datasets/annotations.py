"""Masks and boxes in COCO and LVIS v1 annotation format."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as coco_mask

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def polygons(mask: np.ndarray) -> list[list[float]]:
    """Trace the outlines of a bool mask (H, W) as COCO polygons, pixels as unit squares."""
    # At four times the size the outline runs along pixel borders to a quarter of a pixel.
    scale = 4
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, left = rows[0], columns[0]
    cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    large = np.kron(cut, np.ones((scale, scale), bool)).astype(np.uint8)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    traced = []
    for outline in outlines:
        points = cv2.approxPolyDP(outline, 1.0, True).reshape(-1, 2)
        if len(points) >= 3:
            points = (points + 0.5) / scale + (left, top)
            traced.append([round(float(v), 2) for v in points.flatten()])
    return traced


def run_lengths(mask: np.ndarray) -> dict:
    """Return COCO's uncompressed run-length form of a bool mask (H, W), as crowds have it."""
    flat = mask.flatten(order="F").astype(np.int8)
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}


def annotation(identity: int, image_id: int, label: int, mask: np.ndarray, crowd: bool) -> dict:
    """Build one COCO annotation; its area is that of the mask as stored, as in COCO."""
    segmentation = run_lengths(mask) if crowd else polygons(mask)
    height, width = mask.shape
    if crowd:
        stored = coco_mask.frPyObjects(segmentation, height, width)
    else:
        stored = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return {
        "id": identity,
        "image_id": image_id,
        "category_id": label + 1,
        "bbox": [float(v) for v in coco_mask.toBbox(stored)],
        "area": float(coco_mask.area(stored)),
        "iscrowd": int(crowd),
        "segmentation": segmentation,
    }


def coco_file(images: list[dict], annotations: list[dict]) -> dict:
    """Return a COCO instances file of the ten digits."""
    categories = [
        {"id": index + 1, "name": name, "supercategory": "digit"}
        for index, name in enumerate(NAMES)
    ]
    return {
        "info": {"description": "Handwritten digits on photographs, composed by rankdet"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def lvis_file(images: list[dict], annotations: list[dict], frequencies: list[str]) -> dict:
    """Return an LVIS v1 file: federated fields, frequency groups, no crowds.

    A class is verified absent on an image (``neg_category_ids``) for two classes of each image,
    drawn by the image's id, so that the federated rules have something to act on.
    """
    kept = [{**item} for item in annotations if not item["iscrowd"]]
    for item in kept:
        item.pop("iscrowd")
    present: dict[int, set[int]] = {image["id"]: set() for image in images}
    for item in kept:
        present[item["image_id"]].add(item["category_id"])
    rows = []
    for image in images:
        absent = [c for c in range(1, 11) if c not in present[image["id"]]]
        shift = image["id"] % max(len(absent), 1)
        rows.append(
            {
                **image,
                "coco_url": f"http://images.example/{image['split']}/{image['file_name']}",
                "neg_category_ids": sorted((absent[shift:] + absent[:shift])[:4]),
                "not_exhaustive_category_ids": [],
            }
        )
    categories = []
    for index, name in enumerate(NAMES):
        own = [item for item in kept if item["category_id"] == index + 1]
        categories.append(
            {
                "id": index + 1,
                "name": name,
                "synset": f"{name}.n.01",
                "synonyms": [name],
                "def": f"the digit {index}",
                "frequency": frequencies[index],
                "image_count": len({item["image_id"] for item in own}),
                "instance_count": len(own),
            }
        )
    return {
        "info": {"description": "Long-tailed handwritten digits, composed by rankdet"},
        "licenses": [],
        "images": rows,
        "annotations": kept,
        "categories": categories,
    }
