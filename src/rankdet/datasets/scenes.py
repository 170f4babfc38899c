"""Drawn detection images from scikit-learn's handwriting and photographs, and annotations."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

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


SIDE = 256  # pixels; sizes below give COCO's small, medium and large objects at this side
SMALLEST, LARGEST = 40, 216  # digit height in pixels
CROWD_HEIGHT = (14, 24)
# Handwriting and photograph regions of train and val are disjoint.
TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class Material:
    """What one split may draw from.

    Attributes:
        digits: handwritten digits, ink in 0..1 (D, 8, 8).
        labels: their classes 0..9 (D).
        photographs: RGB photographs, each (H, W, 3) uint8.
    """

    digits: np.ndarray
    labels: np.ndarray
    photographs: tuple[np.ndarray, ...]


@cache
def material(split: str) -> Material:
    """Return the handwriting and the photograph regions of ``split`` ("train" or "val")."""
    from sklearn.datasets import load_digits, load_sample_images

    digits = load_digits()
    count = int(len(digits.images) * TRAIN_SHARE)
    chosen = slice(0, count) if split == "train" else slice(count, None)
    photographs = []
    for photograph in load_sample_images().images:
        cut = int(photograph.shape[1] * 0.55)
        columns = slice(0, cut) if split == "train" else slice(cut, None)
        photographs.append(photograph[:, columns])
    return Material(digits.images[chosen] / 16.0, digits.target[chosen], tuple(photographs))


def draw_digit(
    ink: np.ndarray, height: int, angle: float, aspect: float
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge, stretch and turn one 8 x 8 digit.

    Args:
        ink: (8, 8) in 0..1.
        height: height in pixels before turning.
        angle: degrees, counter-clockwise.
        aspect: width / height.

    Returns:
        Opacity in 0..1 (h, w), and the mask (h, w) bool; both cut to the mask's own box.
    """
    ink = np.pad(ink, 1)  # strokes touch the 8 x 8 frame; without a rim they look cut off
    width = max(8, round(height * aspect))
    large = cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    side = int(np.hypot(height, width)) + 2
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    turn[:, 2] += np.array([(side - width) / 2, (side - height) / 2])
    opacity = cv2.warpAffine(large, turn, (side, side), flags=cv2.INTER_LINEAR).clip(0, 1)
    mask = opacity > 0.35
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return opacity[window], mask[window]


def background(photographs: tuple[np.ndarray, ...], side: int, rng: np.random.Generator):
    """Cut a random square from a photograph, mirror and dim it: (side, side, 3) uint8 RGB."""
    photograph = photographs[rng.integers(len(photographs))]
    cut = int(rng.integers(96, min(photograph.shape[:2]) + 1))
    top = rng.integers(photograph.shape[0] - cut + 1)
    left = rng.integers(photograph.shape[1] - cut + 1)
    square = cv2.resize(photograph[top : top + cut, left : left + cut], (side, side))
    if rng.random() < 0.5:
        square = square[:, ::-1]
    gain, lift = rng.uniform(0.5, 0.9), rng.uniform(0, 50)
    return np.clip(square * gain + lift, 0, 255).astype(np.uint8)


@dataclass
class Scene:
    """One composed image.

    Attributes:
        image: RGB (SIDE, SIDE, 3) uint8.
        labels: class of each object (M).
        masks: one full-size bool mask per object, as visible; a crowd region last, if any.
        is_crowd: whether the object of that index is a crowd region (M).
    """

    image: np.ndarray
    labels: list[int] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    is_crowd: list[bool] = field(default_factory=list)


def compose(
    material: Material,
    rng: np.random.Generator,
    class_weights: np.ndarray,
    crowd_share: float = 0.05,
    empty_share: float = 0.02,
    objects: tuple[int, int] = (2, 8),
) -> Scene:
    """Compose one scene: some digits, rarely none, rarely a crowd of tiny ones.

    Args:
        material: the split's handwriting and photographs.
        rng: all randomness comes from here.
        class_weights: probability of each class (10).
        crowd_share: share of the images with a crowd region.
        empty_share: share of the images without any object.
        objects: least and most digits of an image; one without free space is left out.
    """
    scene = Scene(background(material.photographs, SIDE, rng))
    if rng.random() < empty_share:
        return scene
    taken = np.zeros((SIDE, SIDE), bool)  # boxes, so that objects do not hide each other
    for _ in range(int(rng.integers(objects[0], objects[1] + 1))):
        label = int(rng.choice(10, p=class_weights))
        size = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))
        _place(scene, material, rng, label, int(size), taken)
    if rng.random() < crowd_share:
        _place_crowd(scene, material, rng, class_weights, taken)
    return scene


def _place(scene, material, rng, label: int, height: int, taken: np.ndarray) -> bool:
    """Paint one digit of class ``label`` on free ground; give up after a few tries."""
    samples = np.flatnonzero(material.labels == label)
    ink = material.digits[rng.choice(samples)]
    opacity, mask = draw_digit(ink, height, rng.uniform(-12, 12), rng.uniform(0.75, 1.05))
    rows, columns = mask.shape
    if rows > SIDE or columns > SIDE:
        return False
    for _ in range(12):
        top = int(rng.integers(SIDE - rows + 1))
        left = int(rng.integers(SIDE - columns + 1))
        window = np.s_[top : top + rows, left : left + columns]
        if not taken[window].any():
            break
    else:
        return False
    taken[window] = True
    _paint(scene.image[window], opacity, rng)
    full = np.zeros((SIDE, SIDE), bool)
    full[window] = mask
    scene.labels.append(label)
    scene.masks.append(full)
    scene.is_crowd.append(False)
    return True


def _paint(patch: np.ndarray, opacity: np.ndarray, rng) -> None:
    """Mix ink into ``patch`` in place; the ink is darker or lighter than what it covers."""
    light = patch.mean() < 128
    colour = rng.uniform(170, 255, 3) if light else rng.uniform(0, 85, 3)
    strength = np.clip(opacity * 1.3, 0, 1)[..., None]
    patch[:] = (patch * (1 - strength) + colour * strength).astype(np.uint8)


def _place_crowd(scene, material, rng, class_weights, taken: np.ndarray) -> None:
    """Paint a 3 x 3 heap of tiny digits of one class and annotate it as one crowd region."""
    label = int(rng.choice(10, p=class_weights))
    heap = Scene(scene.image)
    height = int(rng.integers(*CROWD_HEIGHT))
    side = 4 * height
    for _ in range(8):
        top, left = (int(rng.integers(SIDE - side)) for _ in range(2))
        if not taken[top : top + side, left : left + side].any():
            break
    else:
        return
    taken[top : top + side, left : left + side] = True
    ground = np.ones((SIDE, SIDE), bool)
    ground[top : top + side, left : left + side] = False
    for _ in range(9):
        _place(heap, material, rng, label, height, ground)
    if not heap.masks:
        return
    union = np.logical_or.reduce(heap.masks).astype(np.uint8)
    region = cv2.dilate(union, np.ones((5, 5), np.uint8)).astype(bool)
    scene.labels.append(label)
    scene.masks.append(region)
    scene.is_crowd.append(True)
