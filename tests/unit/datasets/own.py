"""Small data sets as a user might bring them, to be changed in one place."""

import json

import numpy as np
from mmdet.datasets import CocoDataset
from PIL import Image

SIDE = (96, 80)  # width, height
ORIENTATION = 0x0112


def document(images=4, names=("a", "b")):
    """Return a COCO file of bright rectangles: two boxes with masks on every image."""
    rows, annotations = [], []
    for index in range(images):
        rows.append(
            {"id": index + 1, "file_name": f"{index:03d}.jpg", "width": SIDE[0], "height": SIDE[1]}
        )
        for label in range(2):
            x, y, w, h = 4 + 44 * label, 6 + index % 5, 36, 40 + 4 * label
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": label + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                    "segmentation": [corners],
                }
            )
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(names)]
    return {"images": rows, "annotations": annotations, "categories": categories}


def pixels(content, image):
    """Return the picture of one image: its boxes are white."""
    canvas = np.full((SIDE[1], SIDE[0], 3), 30, np.uint8)
    for row in content["annotations"]:
        if row["image_id"] == image["id"]:
            x, y, w, h = row["bbox"]
            canvas[y : y + h, x : x + w] = 250
    return canvas


def write_images(folder, content):
    """Write the pictures of a document under its file names."""
    for image in content["images"]:
        path = folder / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(content, image)).save(path)


def write_set(root, train=lambda content: None, val=lambda content: None, images=4):
    """Write both splits in COCO's short layout, each changed by its function."""
    (root / "annotations").mkdir(parents=True)
    for split, change in (("train", train), ("val", val)):
        content = document(images)
        write_images(root / split, content)
        content = change(content) or content
        path = root / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content))
    return root


def mmdet_data(manifest, split, **options):
    """Return mmdet's data set of a split, filtered as every row filters it."""
    return CocoDataset(
        ann_file=str(manifest.annotations(split)),
        data_prefix=dict(img=""),
        metainfo=dict(classes=tuple(manifest.classes)),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=[],
        **options,
    )


def both(change):
    """Return keyword arguments that change both splits in the same way."""
    return {"train": change, "val": change}


def turn(path, orientation):
    """Save a picture turned, so that a viewer that heeds EXIF shows what was there before."""
    backwards = {1: None, 3: Image.ROTATE_180, 6: Image.ROTATE_90, 8: Image.ROTATE_270}
    with Image.open(path) as image:
        stored = image.transpose(backwards[orientation]) if orientation != 1 else image.copy()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(path, exif=exif)
