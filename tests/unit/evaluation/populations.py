"""Random data sets of several images: detections near objects and elsewhere, no equal scores."""

import numpy as np

SIDE = 200


def population(rng, images=10, classes=5, lvis=False, per_image=6):
    """Return (annotations, detections); some crowds or, in LVIS, partly labeled classes."""
    count = max(1, images * per_image // 2)
    image = rng.integers(1, images + 1, count)
    category = rng.integers(1, classes + 1, count)
    corner = rng.uniform(0, SIDE / 2, (count, 2))
    size = rng.choice([12.0, 40.0, 90.0], (count, 1)) * rng.uniform(0.8, 1.2, (count, 2))
    box = np.hstack([corner, size])
    crowd = rng.random(count) < (0 if lvis else 0.1)
    annotations = [
        {
            "id": number + 1,
            "image_id": int(image[number]),
            "category_id": int(category[number]),
            "bbox": box[number].tolist(),
            "area": float(box[number, 2] * box[number, 3]),
            "iscrowd": int(crowd[number]),
        }
        for number in range(count)
    ]
    near = rng.integers(0, count, 2 * count)
    moved = box[near] + rng.normal(0, 1, (len(near), 4)) * rng.choice([1, 6, 20], (len(near), 1))
    moved[:, 2:] = np.maximum(moved[:, 2:], 1)
    far = rng.integers(0, count, count)
    found_image = np.concatenate([image[near], rng.integers(1, images + 1, count)])
    found_class = np.concatenate([category[near], rng.integers(1, classes + 1, count)])
    found_box = np.concatenate([moved, box[far]])
    score = rng.permutation(len(found_box) + 1)[1:] / (len(found_box) + 1)
    rows = [
        {"image_id": int(i), "category_id": int(c), "bbox": b.tolist(), "score": float(s)}
        for i, c, b, s in zip(found_image, found_class, found_box, score, strict=True)
    ]
    truth = {
        "images": [{"id": i, "height": SIDE, "width": SIDE} for i in range(images, 0, -1)],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(1, classes + 1)],
        "annotations": annotations,
    }
    if lvis:
        _federate(rng, truth)
    return truth, rows


def _federate(rng, truth):
    for row in truth["categories"]:
        row["frequency"] = "rcf"[row["id"] % 3]
    present = {row["id"]: set() for row in truth["images"]}
    for row in truth["annotations"]:
        present[row["image_id"]].add(row["category_id"])
    every = {row["id"] for row in truth["categories"]}
    for row in truth["images"]:
        absent = sorted(every - present[row["id"]])
        row["neg_category_ids"] = [each for each in absent if rng.random() < 0.7]
        partly = sorted(present[row["id"]])
        row["not_exhaustive_category_ids"] = [each for each in partly if rng.random() < 0.5]
