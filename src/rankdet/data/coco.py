"""`rankdet prepare coco|lvis`: take over a folder in COCO layout without copying it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rankdet.data.folder_checks import check_annotations, check_images
from rankdet.data.manifest import Manifest, Split
from rankdet.data.sums import check_sums, read_sums
from rankdet.errors import InputError
from rankdet.files import read_json, write_json

# Names under which the two splits of each format are found, first match wins: COCO's own, short
# ones, Cityscapes as mmdet converts it. LVIS v1 lies beside COCO 2017 and uses both its folders.
LAYOUTS = {
    "coco": (
        ("instances_{}2017.json", "{}2017"),
        ("instances_{}.json", "{}"),
        ("{}.json", "{}"),
        ("instancesonly_filtered_gtFine_{}.json", "leftImg8bit/{}"),
    ),
    "lvis": (("lvis_v1_{}.json", "."),),
}
# What every row has to hold.
FIELDS = {
    "coco": {
        "images": ("id", "file_name", "width", "height"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    },
    "lvis": {
        "images": (
            *("id", "coco_url", "width", "height"),
            *("neg_category_ids", "not_exhaustive_category_ids"),
        ),
        "annotations": ("id", "image_id", "category_id", "bbox", "area", "segmentation"),
        "categories": ("id", "name", "frequency"),
    },
}
TODO = {
    "coco": "give the instances_*.json of the data set",
    "lvis": "give lvis_v1_*.json, unpacked from the LVIS v1 download",
}
SUMS = "SHA256SUMS"  # a list of hashes that a data set may bring along


def prepare_coco(
    root: str | Path,
    out: str | Path,
    name: str = "coco",
    format: str = "coco",
    sums: str | Path | None = None,
    overfit: bool = False,
) -> Manifest:
    """Check a COCO folder and write the manifest that points to it.

    Args:
        root: folder with ``annotations/instances_{train,val}2017.json`` and ``{train,val}2017/``,
            or the same without the year; for LVIS v1 ``annotations/lvis_v1_{train,val}.json`` and
            the two folders of COCO 2017.
        out: the ``dataset.json`` to write.
        name: stands in every result made from it.
        format: "coco" or "lvis"; the evaluation follows it.
        sums: hashes that files of the folder must have, as `sha256sum` and `rankdet fetch` write
            them; default ``SHA256SUMS`` of the folder, if there is one.
        overfit: let the val images be the train images too.

    Raises:
        InputError: if a file is missing, has changed, is not of this format, or is broken.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise InputError(
            "a folder in COCO layout", f"no folder {root}", "set its path in the config"
        )
    known = root / SUMS if sums is None else Path(sums)
    if sums is not None or known.is_file():
        check_sums(root, read_sums(known), known.name)
    splits, classes = {}, {}
    for split in ("train", "val"):
        annotations, images = _find(root, split, format)
        content = read_json(annotations, f"a {format.upper()} instances file")
        classes[split] = check_instances(content, annotations, format)
        check_annotations(content, annotations)
        check_images(content["images"], images)
        splits[split] = Split(
            annotations=str(annotations),
            images=str(images),
            image_count=len(content["images"]),
            annotation_count=len(content["annotations"]),
            sha256=hashlib.sha256(annotations.read_bytes()).hexdigest(),
        )
    if classes["train"] != classes["val"]:
        raise InputError(
            "the same categories in train and val",
            f"{len(classes['train'])} and {len(classes['val'])} that differ",
            "check that both annotation files belong together",
        )
    if overfit:
        splits["train"] = splits["val"]
    out = Path(out)
    manifest = Manifest(
        name=name, format=format, classes=classes["val"], folder=out.parent.resolve(), **splits
    )
    write_json(out, manifest.as_json())
    return manifest


def check_instances(content: object, path: Path, format: str = "coco") -> list[str]:
    """Check that ``content`` is an instances file; return its class names by category id.

    Raises:
        InputError: naming the first thing that is not as COCO has it.
    """
    what, todo = f"a {format.upper()} instances file", TODO[format]
    if not isinstance(content, dict):
        raise InputError(what, f"{path} with a {type(content).__name__} at the top", todo)
    for key, fields in FIELDS[format].items():
        rows = content.get(key)
        if not isinstance(rows, list) or not rows:
            raise InputError(what, f"{path} without a list {key!r}", todo)
        for index, row in enumerate(rows):
            lacking = [f for f in fields if not isinstance(row, dict) or f not in row]
            if lacking:
                raise InputError(what, f"{path}: {key}[{index}] lacks {lacking[0]!r}", todo)
    known = {row["id"] for row in content["categories"]}
    strange = {row["category_id"] for row in content["annotations"]} - known
    if strange:
        raise InputError(what, f"{path}: category ids {sorted(strange)[:5]} are not listed", todo)
    return [row["name"] for row in sorted(content["categories"], key=lambda row: row["id"])]


def _find(root: Path, split: str, format: str) -> tuple[Path, Path]:
    tried = []
    for annotation_name, folder in LAYOUTS[format]:
        annotations = root / "annotations" / annotation_name.format(split)
        images = root / folder.format(split)
        if annotations.is_file() and images.is_dir():
            return annotations, images
        tried.append(f"{annotations.relative_to(root)} + {images.relative_to(root)}/")
    raise InputError(
        f"the {split} split in {root}: {' or '.join(tried)}",
        "none of them complete",
        "fetch the data set, or set its path in the config",
    )
