"""COCO exports of four annotation tools, made by hand after their documentation.

Each function writes eight images into a folder and returns the options of `prepare_coco` that the
layout needs.
"""

import json

from PIL import Image

from tests.unit.datasets.own import document, pixels

NAMES = ("cat", "dog")


def _pictures(folder, content, names):
    folder.mkdir(parents=True, exist_ok=True)
    for image, name in zip(content["images"], names, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(content, image)).save(path)


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def roboflow(root):
    """train/ and valid/ with _annotations.coco.json: all ids from 0, a supercategory as class 0."""
    for split in ("train", "valid"):
        content = document(4)
        names = [f"frame_{k}_jpg.rf.0123abcd.jpg" for k in range(4)]
        _pictures(root / split, content, names)
        for image, name in zip(content["images"], names, strict=True):
            image.update(
                id=image["id"] - 1, license=1, file_name=name, date_captured="2026-01-01T00:00:00"
            )
        for row in content["annotations"]:
            row.update(id=row["id"] - 1, image_id=row["image_id"] - 1, segmentation=[])
        content["categories"] = [{"id": 0, "name": "animals", "supercategory": "none"}] + [
            {"id": k + 1, "name": name, "supercategory": "animals"} for k, name in enumerate(NAMES)
        ]
        content["info"] = {"year": "2026", "version": "1", "description": "Exported"}
        content["licenses"] = [{"id": 1, "url": "", "name": "Public Domain"}]
        _write(root / split / "_annotations.coco.json", content)
    return {}


def cvat(root):
    """One task: annotations/instances_default.json, images/, attributes beside every box."""
    content = document(8)
    names = [image["file_name"] for image in content["images"]]
    _pictures(root / "images", content, names)
    for image in content["images"]:
        image.update(license=0, flickr_url="", coco_url="", date_captured=0)
    for row in content["annotations"]:
        row.update(attributes={"occluded": False, "rotation": 0.0}, segmentation=[])
        row["area"] = float(row["area"])
    content["categories"] = [
        {"id": k + 1, "name": name, "supercategory": ""} for k, name in enumerate(NAMES)
    ]
    content["licenses"] = [{"name": "", "id": 0, "url": ""}]
    content["info"] = {"contributor": "", "version": "", "year": ""}
    _write(root / "annotations" / "instances_default.json", content)
    return {"val_fraction": 0.5}


def cvat_subsets(root):
    """A project with subsets named by hand: instances_Train.json, images/Train/."""
    for split in ("Train", "Validation"):
        content = document(4, NAMES)
        _pictures(root / "images" / split, content, [i["file_name"] for i in content["images"]])
        for row in content["annotations"]:
            row["attributes"] = {"occluded": False}
        _write(root / "annotations" / f"instances_{split}.json", content)
    return {}


def label_studio(root):
    """result.json and images/: ids from 0, names with their folder, boxes without masks."""
    content = document(8, NAMES)
    names = [f"images/{k}abc-{image['file_name']}" for k, image in enumerate(content["images"])]
    _pictures(root, content, names)
    for image, name in zip(content["images"], names, strict=True):
        image.update(id=image["id"] - 1, file_name=name)
    for row in content["annotations"]:
        row.update(
            id=row["id"] - 1,
            image_id=row["image_id"] - 1,
            category_id=row["category_id"] - 1,
            segmentation=[],
            ignore=0,
        )
    for row in content["categories"]:
        row["id"] -= 1
    content["info"] = {"year": 2026, "version": "1.0", "contributor": "Label Studio"}
    _write(root / "result.json", content)
    return {"val_fraction": 0.5}


def label_studio_windows(root):
    """The same from Windows: names with backslashes, folders missing from nothing else."""
    label_studio(root)
    path = root / "result.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["file_name"] = image["file_name"].replace("/", "\\")
    path.write_text(json.dumps(content))
    return {"val_fraction": 0.5}


def datumaro(root):
    """annotations/instances_train.json, images/train/; sizes may be null."""
    for split in ("train", "val"):
        content = document(4, NAMES)
        _pictures(root / "images" / split, content, [i["file_name"] for i in content["images"]])
        for image in content["images"]:
            image.update(license=0, flickr_url="", coco_url="", date_captured=0)
            image.update(width=None, height=None)
        for row in content["annotations"]:
            row.update(attributes={"occluded": False}, segmentation=[])
        content["licenses"] = [{"name": "", "id": 0, "url": ""}]
        _write(root / "annotations" / f"instances_{split}.json", content)
    return {}


EXPORTS = {
    "Roboflow": roboflow,
    "CVAT": cvat,
    "CVAT subsets": cvat_subsets,
    "Label Studio": label_studio,
    "Label Studio on Windows": label_studio_windows,
    "Datumaro": datumaro,
}
