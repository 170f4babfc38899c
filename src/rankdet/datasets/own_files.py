"""The files of a data set's folder: layouts that tools write, and what was written here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import file_sha256
from rankdet.outputs import write_json

MARK = "rankdet-files.json"  # lists what this package wrote into the folder


def write_mark(folder: Path) -> None:
    """List every file of ``folder``, with its hash."""
    files = {name: file_sha256(folder / name) for name in _names(folder)}
    write_json(folder / MARK, {"version": 1, "files": files})


def read_mark(folder: Path) -> dict[str, str] | None:
    """Return {file: sha256} of what was written into ``folder``; None without a list."""
    if not (folder / MARK).is_file():
        return None
    try:
        files = read_json(folder / MARK)["files"]
    except (InputError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


def foreign(folder: Path, written: Mapping[str, str | None]) -> str | None:
    """Return the first file of ``folder`` that is not as ``written``, with the reason.

    Args:
        folder: where they are.
        written: {file: sha256, or None for any content}.
    """
    for name in _names(folder):
        if name == MARK:
            continue
        if name not in written:
            return f"{name}, which was not written here"
        path, sha256 = folder / name, written[name]
        if path.is_symlink() or not path.is_file():
            return f"{name}, which was not written here"
        if sha256 is not None and file_sha256(path) != sha256:
            return f"{name}, which was changed since"
    return None


def remove(folder: Path, written: Mapping[str, str | None]) -> None:
    """Remove the ``written`` files and the folders that this empties; leave everything else."""
    for name in _names(folder):
        if name in written or name == MARK:
            (folder / name).unlink()
    for place, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(place):
            os.rmdir(place)


def _names(folder: Path) -> list[str]:
    """Return all files below ``folder``, also links and empty folders, in order."""
    found = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        empty = [] if folders or files or place == str(folder) else [""]
        found += [os.path.relpath(os.path.join(place, n), folder) for n in files + links + empty]
    return sorted(found)


# Names of a split in the files and folders of other tools.
SPLITS = {
    "train": ("train", "Train", "training"),
    "val": ("val", "Val", "valid", "Valid", "validation", "Validation"),
}
# Annotation file and image folder below the root; {} stands for the split's name. COCO's own, short
# ones, Cityscapes as mmdet converts it, CVAT and Datumaro, Roboflow. LVIS v1 lies beside COCO 2017
# and uses both its folders.
LAYOUTS = {
    "coco": (
        ("annotations/instances_{}2017.json", "{}2017"),
        ("annotations/instances_{}.json", "{}"),
        ("annotations/{}.json", "{}"),
        ("annotations/instancesonly_filtered_gtFine_{}.json", "leftImg8bit/{}"),
        ("annotations/instances_{}.json", "images/{}"),
        ("annotations/instances_{}.json", "images"),
        ("annotations/{}.json", "images/{}"),
        ("annotations/{}.json", "images"),
        ("{}/_annotations.coco.json", "{}"),
    ),
    "lvis": (("annotations/lvis_v1_{}.json", "."),),
}
# Exports of one task without splits: CVAT, Label Studio, one folder of Roboflow.
UNDIVIDED = (
    ("annotations/instances_default.json", "images/default"),
    ("annotations/instances_default.json", "images"),
    ("annotations/instances_default.json", "."),
    ("result.json", "images"),
    ("result.json", "."),
    ("_annotations.coco.json", "."),
    ("train/_annotations.coco.json", "train"),
)


def find_split(root: Path, split: str, format: str) -> tuple[Path, Path]:
    """Return the annotation file and the image folder of ``split``.

    Raises:
        InputError: with the layouts that were looked for, and how to name the files instead.
    """
    found = list(_existing(root, split, format))
    if found:
        return _best(found)
    undivided = find_undivided(root) if format == "coco" else None
    if undivided is not None:
        raise InputError(
            f"a train and a val split in {root}",
            f"{undivided[0].relative_to(root)}, one list of all images",
            "divide it at random with --val-fraction 0.2, or export two splits",
        )
    common = " or ".join(
        f"{file} + {folder}/" for file, folder in _listed(split, format, SPLITS[split][:1])
    )
    raise InputError(
        f"the {split} split in {root}: {common}",
        "none of them complete",
        "arrange the folder like that, or name the files with --train-annotations, "
        "--train-images, --val-annotations, --val-images",
    )


def find_undivided(root: Path) -> tuple[Path, Path] | None:
    """Return annotation file and image folder of an export without splits, or None."""
    pairs = ((root / file, root / folder) for file, folder in UNDIVIDED)
    there = [pair for pair in pairs if pair[0].is_file() and pair[1].is_dir()]
    return _best(there) if there else None


def annotation_files(root: str | Path, format: str = "coco") -> list[str]:
    """Return the annotation files in ``root`` that `rankdet prepare` would read."""
    root = Path(root).expanduser()
    found = [next(_existing(root, split, format), None) for split in SPLITS]
    return [str(pair[0]) for pair in found if pair is not None]


def _existing(root: Path, split: str, format: str) -> Iterator[tuple[Path, Path]]:
    for file, folder in _listed(split, format, SPLITS[split]):
        pair = root / file, root / folder
        if pair[0].is_file() and pair[1].is_dir():
            yield pair


def _listed(split: str, format: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for file, folder in LAYOUTS[format]:
        for name in names:
            yield file.format(name), folder.format(name)


def _best(pairs: list[tuple[Path, Path]]) -> tuple[Path, Path]:
    """Return the pair whose folder holds the first image, else the first pair."""
    if len(pairs) == 1:
        return pairs[0]
    return next((pair for pair in pairs if _holds_first_image(*pair)), pairs[0])


def _holds_first_image(annotations: Path, folder: Path) -> bool:
    """Tell whether the first image of the list lies in ``folder``; a broken file tells nothing."""
    try:
        images = json.loads(annotations.read_text(encoding="utf-8-sig"))["images"]
        return (folder / images[0]["file_name"].replace("\\", "/")).is_file()
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return False
