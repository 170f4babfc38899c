"""A folder that a user gives: are its images all there and whole, do its annotations make sense?"""

from __future__ import annotations

import math
import os
import random
from pathlib import Path

from PIL import Image

from rankdet.errors import InputError

SAMPLE = 200  # images of each split that are opened; all of them if fewer
TODO_IMAGES = "complete the download, or correct the path"


def check_images(rows: list[dict], folder: Path) -> None:
    """Look for every image, and open a fixed random sample of them.

    Args:
        rows: the annotation file's list of images.
        folder: where they are.

    Raises:
        InputError: naming the first image that is missing, broken or of another size.
    """
    names = {image_name(row): row for row in rows}
    # One walk instead of a question for each name: that would be 118 287 on COCO.
    present = {
        (Path(place) / file).relative_to(folder).as_posix()
        for place in sorted({str((folder / name).parent) for name in names})
        for file in _files(place)
    }
    missing = [name for name in names if name not in present]
    if missing:
        raise InputError(
            f"the images of the annotation file in {folder}",
            f"{len(missing)} of {len(names)} looked for are missing, first {missing[0]}",
            TODO_IMAGES,
        )
    chosen = sorted(names)
    if len(chosen) > SAMPLE:
        chosen = random.Random(0).sample(chosen, SAMPLE)
    for name in chosen:
        _open(folder / name, names[name])


def check_annotations(content: dict, path: Path) -> None:
    """Check what the lists of an annotation file say of each other.

    Raises:
        InputError: naming the file and the first annotation that cannot be meant.
    """
    what, todo = f"{path} as it was published", "restore the file"
    images = {row["id"] for row in content["images"]}
    for key in ("images", "annotations", "categories"):
        if len({row["id"] for row in content[key]}) != len(content[key]):
            raise InputError(what, f"two {key} with one id", todo)
    for row in content["annotations"]:
        if row["image_id"] not in images:
            got = f"annotation {row['id']} on image {row['image_id']}, which is not listed"
            raise InputError(what, got, todo)
        box = row["bbox"]
        good = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
        if not good or box[2] < 0 or box[3] < 0:
            raise InputError(what, f"annotation {row['id']} with the box {box}", todo)


def image_name(row: dict) -> str:
    """Return the path of an image below its folder.

    LVIS v1 names images by their address only, of which the last two parts are folder and file.
    """
    return row.get("file_name") or "/".join(row["coco_url"].split("/")[-2:])


def _files(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def _open(path: Path, row: dict) -> None:
    try:
        with Image.open(path) as image:
            size = image.size
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            "whole images", f"{path}, which cannot be read ({error})", TODO_IMAGES
        ) from None
    wanted = (row["width"], row["height"])
    # Cameras note a turn beside the pixels; the annotations count them as stored or as shown.
    if sorted(size) != sorted(wanted):
        raise InputError(
            f"{path} of {wanted[0]} x {wanted[1]} pixels, as its annotations say",
            f"{size[0]} x {size[1]}",
            "restore the image",
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
