"""The zip file for the COCO test server, with names and contents checked."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.errors import InputError
from rankdet.evaluation import fields
from rankdet.evaluation.masks import checked_masks
from rankdet.evaluation.reading import read_detections, read_document
from rankdet.outputs import atomic_path

PER_IMAGE = 100
# The 80 category ids of COCO detection, 1-90 with gaps.
COCO_CATEGORY_IDS = sorted(set(range(1, 91)) - {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
SERVER_KEYS = ("image_id", "category_id", "bbox", "segmentation", "score")


def stem(name: str, testset: str = "test-dev2017") -> str:
    """Return ``detections_<testset>_<name>_results``, the name the server expects.

    Args:
        name: of the method.
        testset: of the detections.

    Returns:
        The name without ``.json`` or ``.zip``.

    Raises:
        InputError: if ``name`` is not of letters, digits, ``-`` and ``.`` alone (the server splits
            the rest of the name at underscores).
    """
    if not re.fullmatch(r"[A-Za-z0-9.-]+", name):
        raise InputError(
            "a name of letters, digits, '-' and '.'", repr(name), "replace the other characters"
        )
    return f"detections_{testset}_{name}_results"


def pack(
    detections: str | Path,
    name: str,
    folder: str | Path,
    image_info: str | Path | None = None,
    testset: str = "test-dev2017",
) -> tuple[Path, Path, list[str]]:
    """Validate COCO results and write ``<stem>.json`` and ``<stem>.zip`` into ``folder``.

    Args:
        detections: COCO results JSON of boxes or masks.
        name: the algorithm's name on the server.
        folder: where both files go.
        image_info: the published list of the test images (image_info_test-dev2017.json).
        testset: the server's name for the images.

    Returns:
        The two paths, and a line for each remark that is not an error.

    Raises:
        InputError: if the server would refuse the file, or silently use only a part of it.
    """
    base = stem(name, testset)
    rows = read_document(detections, "detections as a COCO results array")
    if not isinstance(rows, list) or not rows:
        raise InputError(
            "a results array with at least one detection", "none", "run `rankdet predict` first"
        )
    _check_testset(image_info, testset)
    notes = _validate(rows, image_info)
    rows = [{key: row[key] for key in SERVER_KEYS if key in row} for row in rows]
    text = json.dumps(rows, separators=(",", ":"), allow_nan=False)
    json_path, zip_path = Path(folder) / f"{base}.json", Path(folder) / f"{base}.zip"
    with atomic_path(zip_path) as part_zip, atomic_path(json_path) as part_json:
        part_json.write_text(text, encoding="utf-8")
        with zipfile.ZipFile(part_zip, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(part_json, f"{base}.json")
        validate_zip(part_zip, base)
    return json_path, zip_path, notes


def _validate(rows: list[Any], image_info: str | Path | None) -> list[str]:
    found = read_detections(rows)
    unknown = np.setdiff1d(found.category_id, COCO_CATEGORY_IDS)
    if len(unknown):
        raise InputError(
            "the 80 category ids of COCO",
            f"{', '.join(map(str, unknown[:5]))}",
            "map the labels of the model to COCO category ids instead of 0-79",
        )
    image_ids, counts = np.unique(found.image_id, return_counts=True)
    if counts.max() > PER_IMAGE:
        raise InputError(
            f"at most {PER_IMAGE} detections per image",
            f"{counts.max()} on image {image_ids[counts.argmax()]}",
            f"keep the best {PER_IMAGE} of each image (test_cfg.max_per_img)",
        )
    boxed = np.flatnonzero(["bbox" in row for row in rows])
    fields.boxes(fields.Selected(rows, boxed), "detection")
    masks = [
        (number, row["segmentation"]) for number, row in enumerate(rows) if "segmentation" in row
    ]
    # Image sizes are unknown here; each mask must at least add up to its own size.
    checked_masks(
        [mask for _, mask in masks], [(0, 0)] * len(masks), [f"detection {n}" for n, _ in masks]
    )
    if image_info is None:
        return ["image ids were not checked: give the list of test images to check them"]
    listed = _listed_images(image_info)
    foreign = np.setdiff1d(image_ids, listed)
    if len(foreign):
        raise InputError(
            f"image ids of {Path(image_info).name}",
            f"{len(foreign)} unknown ids, the first is {foreign[0]}",
            "predict on the test images, not on val",
        )
    empty = len(listed) - len(image_ids)
    return [f"{empty} of {len(listed)} images have no detections"] if empty else []


def _check_testset(image_info: str | Path | None, testset: str) -> None:
    """Refuse COCO's list of the images of another test set than the one in the file's name."""
    found = re.match(r"image_info_([^.]+)\.", Path(image_info or "").name)
    if found and found[1] != testset:
        raise InputError(
            f"the images of {testset}, the test set of the submission",
            str(image_info),
            f"give image_info_{testset}.json, or name the test set {found[1]}",
        )


def _listed_images(image_info: str | Path) -> np.ndarray:
    what = 'the list of the test images: an object with the array "images"'
    document = read_document(image_info, what)
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list):
        raise InputError(what, str(image_info), "give image_info_test-dev2017.json")
    return fields.integers(images, "id", "image")


def validate_zip(path: str | Path, base: str) -> None:
    """Check that the archive is intact and contains only ``<base>.json`` at the top level.

    Args:
        path: of the zip file.
        base: name of the JSON file, without ``.json``.

    Raises:
        InputError: if not.
    """
    with zipfile.ZipFile(path) as archive:
        names, torn = archive.namelist(), archive.testzip()
    if names != [f"{base}.json"] or torn:
        raise InputError(f"an archive with only {base}.json", f"{names}", "pack it again")
