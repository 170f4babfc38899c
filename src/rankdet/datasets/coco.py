"""`rankdet prepare coco|lvis`: take over a folder of images with COCO or LVIS v1 annotations.

Nothing of the user's is changed or copied. Only where an annotation file needs something completed
(ids from 0, a missing area, categories out of order) a completed copy stands beside the manifest.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankdet.datasets.manifest import Manifest, Split, hash_of
from rankdet.datasets.own_files import SPLITS, UNDIVIDED, find_split, find_undivided
from rankdet.datasets.prepared import Prepared, check_instances, open_split
from rankdet.errors import InputError
from rankdet.evaluation.annotations import Checked
from rankdet.files import read_json
from rankdet.hashing import check_sums, file_sha256, read_sums
from rankdet.outputs import write_json

SUMS = "SHA256SUMS"  # a list of hashes that a data set may bring along
DESCRIPTION = "Completed copy of an annotation file, written by rankdet prepare"
# Fields that a later step reads; others may hold anything.
FIELDS = {
    "images": (
        *("id", "file_name", "coco_url", "width", "height"),
        *("neg_category_ids", "not_exhaustive_category_ids"),
    ),
    "annotations": (
        *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore", "segmentation"),
    ),
    "categories": ("id", "name", "frequency"),
}


def prepare_coco(
    root: str | Path,
    out: str | Path,
    name: str = "coco",
    format: str = "coco",
    sums: str | Path | None = None,
    overfit: bool = False,
    files: Mapping[str, str | Path] | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
) -> Manifest:
    """Check a COCO folder and write the manifest that points to it.

    Args:
        root: folder in one of the layouts of `rankdet.datasets.own_files`.
        out: the ``dataset.json`` to write.
        name: stands in every result made from it.
        format: "coco" or "lvis"; the evaluation follows it.
        sums: hashes that files of the folder must have, as `sha256sum` and `rankdet fetch` write
            them; default ``SHA256SUMS`` of the folder, if there is one.
        overfit: let the val images be the train images too.
        files: other places of {"train_annotations", "train_images", "val_annotations",
            "val_images"}, relative to ``root``.
        val_fraction: of an annotation file without splits: the share of its images that is
            measured on, drawn at random.
        seed: of that draw.

    Raises:
        InputError: if a file is missing, has changed, is not of this format, or is broken.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise InputError(
            "a folder with annotations and images", f"no folder {root}", "correct --root"
        )
    known = root / SUMS if sums is None else Path(sums)
    if sums is not None or known.is_file():
        check_sums(root, read_sums(known), known.name)
    out = Path(out)
    if val_fraction is not None:
        both = _divided(root, val_fraction, seed)
    else:
        both = {s: _prepared(*_places(root, s, format, files or {}), s, format) for s in SPLITS}
    _require_same_categories(both["train"], both["val"])
    written = ("val",) if overfit else SPLITS
    splits = {split: _write_split(both[split], split, out) for split in written}
    if overfit:
        splits["train"] = splits["val"]
    ids, classes = zip(*both["val"].categories, strict=True)
    manifest = Manifest(
        name=name,
        format=format,
        classes=list(classes),
        folder=out.parent.resolve(),
        category_ids=list(ids),
        **splits,
    )
    write_json(out, manifest.as_json())
    return manifest


def _places(
    root: Path, split: str, format: str, files: Mapping[str, str | Path]
) -> tuple[Path, Path]:
    """Return annotation file and image folder of a split: those named, else those found."""
    named = [files.get(f"{split}_{what}") for what in ("annotations", "images")]
    if not any(named):
        return find_split(root, split, format)
    if not all(named):
        raise InputError(
            f"both --{split}-annotations and --{split}-images", "one of them", "give both"
        )
    annotations, images = (root / Path(str(each)).expanduser() for each in named)
    for place, is_there in ((annotations, annotations.is_file()), (images, images.is_dir())):
        if not is_there:
            raise InputError(f"the {split} split", f"no {place}", "correct the path")
    return annotations.resolve(), images.resolve()


def _prepared(path: Path, images: Path, split: str, format: str) -> Prepared:
    raw = read_json(path, f"a {format.upper()} instances file")
    return open_split(check_instances(raw, path, format), path, images, split, raw)


def _divided(root: Path, fraction: float, seed: int) -> dict[str, Prepared]:
    """Divide the images of an export without splits at random."""
    pair = find_undivided(root)
    if pair is None:
        raise InputError(
            f"an annotation file without splits in {root}: "
            + " or ".join(dict.fromkeys(file for file, _ in UNDIVIDED)),
            "none",
            "leave --val-fraction out if there is a file for each split",
        )
    path, images = pair
    raw = read_json(path, "a COCO instances file")
    checked = check_instances(raw, path)
    document = checked.document
    order = sorted(row["id"] for row in document["images"])
    count = round(fraction * len(order))
    if not 0 < count < len(order):
        raise InputError(
            f"--val-fraction that leaves both splits of {len(order)} images one",
            str(fraction),
            "choose another fraction",
        )
    held_out = set(random.Random(seed).sample(order, count))
    both = {}
    for split in SPLITS:
        chosen = {key for key in order if (key in held_out) == (split == "val")}
        part = {
            "images": [row for row in document["images"] if row["id"] in chosen],
            "annotations": [row for row in document["annotations"] if row["image_id"] in chosen],
            "categories": document["categories"],
        }
        if not part["annotations"]:
            raise InputError(
                f"{path}: annotated images in both splits",
                f"none among the {len(chosen)} of {split}",
                "choose another --val-fraction or --seed",
            )
        both[split] = open_split(Checked(part, checked.notes), path, images, split, raw)
    return both


def _require_same_categories(train: Prepared, val: Prepared) -> None:
    one, two = train.categories, val.categories
    if one == two:
        return
    parts = []
    for mine, theirs, name in ((one, two, "train"), (two, one, "val")):
        only = [f"{key} {label!r}" for key, label in mine if (key, label) not in theirs]
        if only:
            more = f" and {len(only) - 5} more" if len(only) > 5 else ""
            parts.append(f"in {name} only: {', '.join(only[:5])}{more}")
    raise InputError(
        "the same categories, ids and names, in train and val",
        "; ".join(parts),
        "list all categories in both annotation files, also those without annotations",
    )


def _write_split(part: Prepared, split: str, out: Path) -> Split:
    """Return the manifest's part of a split; write a completed copy where one is needed."""
    source, source_sha256 = "", ""
    path, sha256 = part.path, hash_of(part.path)
    if part.is_completed:
        source, source_sha256 = str(path), sha256
        path = out.with_name(f"{out.stem}-{split}.json")
        _refuse_other_file(path)
        write_json(path, _own_fields(part), indent=None)
        sha256 = hash_of(path)
        print(f"{split}: completed copy of {part.path.name} in {path}", file=sys.stderr)
    problems = part.mask_problems
    return Split(
        annotations=path.name if part.is_completed else str(path),
        images=str(part.images),
        image_count=len(part.document["images"]),
        annotation_count=len(part.document["annotations"]),
        sha256=sha256,
        source=source,
        source_sha256=source_sha256,
        orientation=part.orientation,
        trainable=part.trainable,
        without_mask=len(problems),
        mask_problem=next(iter(problems.values()), ""),
    )


def _own_fields(part: Prepared) -> dict[str, Any]:
    """Return the content of the completed copy."""
    lists = {
        key: [{name: row[name] for name in names if name in row} for row in part.document[key]]
        for key, names in FIELDS.items()
    }
    if not any(row.get("segmentation") for row in lists["annotations"]):
        for row in lists["annotations"]:
            row.pop("segmentation", None)
    return {"info": {"description": DESCRIPTION, "source": part.path.name}, **lists}


def _refuse_other_file(path: Path) -> None:
    """Check that nothing but an earlier copy of ours is replaced."""
    if not path.exists():
        return
    try:
        content = read_json(path)
        is_own = content["info"]["description"] == DESCRIPTION
    except (InputError, KeyError, TypeError):
        is_own = False
    if not is_own:
        raise InputError(f"no other file at {path}", "one", "choose another --out")


SEARCH_FILES = ("search_train.json", "search_val.json")  # beside the manifest


def prepare_search_split(data: Manifest, out: str | Path, val_images: int, seed: int) -> Manifest:
    """Divide the annotated train images of ``data`` at random; images are not copied.

    The paper holds 5000 of COCO's train images out; which ones is not published.

    Args:
        data: the prepared data set; its val split is not touched.
        out: the ``dataset.json`` to write, with both annotation files beside it.
        val_images: images of the new val split.
        seed: same seed, same split.

    Raises:
        InputError: unless both splits get an image.
    """
    content = read_json(data.annotations("train"), "a COCO instances file")
    annotated = {row["image_id"] for row in content["annotations"]}
    images = sorted(
        (image for image in content["images"] if image["id"] in annotated), key=lambda i: i["id"]
    )
    if not 0 < val_images < len(images):
        raise InputError(
            f"1 to {len(images) - 1} of the {len(images)} annotated train images",
            str(val_images),
            "correct val_images",
        )
    held_out = {image["id"] for image in random.Random(seed).sample(images, val_images)}
    out = Path(out)
    splits = {}
    for name, chosen in (
        ("train", [image for image in images if image["id"] not in held_out]),
        ("val", [image for image in images if image["id"] in held_out]),
    ):
        ids = {image["id"] for image in chosen}
        rows = [row for row in content["annotations"] if row["image_id"] in ids]
        path = out.parent / f"search_{name}.json"
        write_json(path, {**content, "images": chosen, "annotations": rows}, indent=None)
        splits[name] = Split(
            annotations=path.name,
            images=str(data.images("train").resolve()),
            orientation=data.train.orientation,
            trainable=data.train.trainable,
            without_mask=data.train.without_mask,
            mask_problem=data.train.mask_problem,
            image_count=len(chosen),
            annotation_count=len(rows),
            sha256=file_sha256(path),
        )
    manifest = Manifest(
        name=f"{data.name}-search",
        format=data.format,
        classes=data.classes,
        category_ids=data.category_ids,
        folder=out.parent.resolve(),
        **splits,
    )
    write_json(out, manifest.as_json())
    return manifest
