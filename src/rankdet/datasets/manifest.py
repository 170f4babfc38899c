"""`dataset.json`: what every later step needs to know of a data set, checked once.

It also is the identity of the data: hashes of the annotation files, compared again by every step
that reads them, and the order of the classes, which training, prediction, evaluation and conversion
share.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import content_sha256, file_sha256

AGAIN = "prepare it again: `rankdet prepare`"


@dataclass(frozen=True)
class Split:
    """One split: paths relative to the manifest's folder, or absolute.

    Attributes:
        annotations: the file that later steps read: the user's own, or a completed copy of it.
        images: folder of the images.
        image_count, annotation_count: lengths of its lists.
        sha256: of ``annotations``.
        source: the user's file, if ``annotations`` is a completed copy; else "".
        source_sha256: of ``source``.
        orientation: the pixels that the boxes count: "shown" after the turn that a camera noted in
            the file, or "stored".
        trainable: annotations that a loader keeps which leaves out images below 32 pixels; None if
            they were not counted.
        without_mask: annotations that have no usable mask.
        mask_problem: what is wrong with the first of them.
    """

    annotations: str
    images: str
    image_count: int
    annotation_count: int
    sha256: str
    source: str = ""
    source_sha256: str = ""
    orientation: str = "shown"
    trainable: int | None = None
    without_mask: int = 0
    mask_problem: str = ""


@dataclass(frozen=True)
class Manifest:
    """A prepared data set.

    Attributes:
        name: "digits", "coco", ...; stands in every result made from it.
        format: "coco" or "lvis".
        classes: names in the order of the labels: label 0 first.
        folder: where the manifest lies.
        train, val: the two splits.
        category_ids: ids in the order of the labels, ascending; both annotation files list their
            categories in this order.
    """

    name: str
    format: str
    classes: list[str]
    folder: Path
    train: Split
    val: Split
    category_ids: list[int] = field(default_factory=list)

    def annotations(self, split: str) -> Path:
        """Return the absolute path of the annotation file of ``split``."""
        return self.folder / getattr(self, split).annotations

    def images(self, split: str) -> Path:
        """Return the absolute path of the image folder of ``split``."""
        return self.folder / getattr(self, split).images

    def is_of(self, files: Iterable[str | Path]) -> bool:
        """Tell whether the data set was prepared from annotation files among ``files``."""
        own = {
            self.folder / (split.source or split.annotations) for split in (self.train, self.val)
        }
        return own <= {Path(file) for file in files}

    def identity(self) -> dict:
        """Return what identifies the data, wherever they lie: for a run's record."""
        categories = list(zip(self.category_ids, self.classes, strict=True))
        found: dict = {"name": self.name, "format": self.format}
        for name in ("train", "val"):
            split = getattr(self, name)
            found[f"{name}_sha256"] = split.source_sha256 or split.sha256
            found[f"{name}_images"] = split.image_count
            found[f"{name}_annotations"] = split.annotation_count
        found["categories"] = len(categories)
        found["categories_sha256"] = categories_sha256(categories)
        return found

    def as_json(self) -> dict:
        """Return what is written to ``dataset.json``."""
        content = asdict(self)
        del content["folder"]
        return content


def categories_sha256(pairs: Sequence[Sequence[Any]]) -> str:
    """Return what identifies classes: the hash of their (id, name) pairs, ascending by id."""
    text = json.dumps([list(pair) for pair in pairs], separators=(",", ":"))
    return content_sha256(text)


def load_manifest(path: str | Path) -> Manifest:
    """Read ``dataset.json`` (or the folder that holds it) and check that its files are unchanged.

    Raises:
        InputError: if the manifest or what it names is missing, or an annotation file is not the
            one that was prepared.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "dataset.json"
    content = read_json(path, "a data set prepared by `rankdet prepare`")
    try:
        train, val = (Split(**content.pop(name)) for name in ("train", "val"))
        manifest = Manifest(folder=path.parent.resolve(), train=train, val=val, **content)
        is_ordered = len(manifest.category_ids) == len(manifest.classes) > 0
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            "a dataset.json written by `rankdet prepare`", f"{path} ({error})", AGAIN
        ) from None
    if not is_ordered:
        raise InputError(
            f"{path} with the order of its classes", "another one: an older version wrote it", AGAIN
        )
    for name in ("train", "val"):
        _check_split(path, manifest, name)
    return manifest


def _check_split(path: Path, manifest: Manifest, name: str) -> None:
    split: Split = getattr(manifest, name)
    for place in (manifest.annotations(name), manifest.images(name)):
        if not place.exists():
            raise InputError(f"the data that {path} names", f"no {place}", AGAIN)
    check_unchanged(manifest.annotations(name), split.sha256)
    # Where a completed copy was moved without its source, the copy is what counts.
    if split.source and (manifest.folder / split.source).exists():
        check_unchanged(manifest.folder / split.source, split.source_sha256)


def check_unchanged(path: Path, sha256: str) -> None:
    """Check that a file is the one that was prepared.

    Raises:
        InputError: if its content is another.
    """
    if hash_of(path) != sha256:
        raise InputError(
            f"{path} as it was prepared (sha256 {sha256[:12]})",
            f"another content (sha256 {hash_of(path)[:12]})",
            f"{AGAIN} (or restore the file)",
        )


def hash_of(path: Path) -> str:
    """Return the sha256 of a file; an unchanged file is read once in a process."""
    status = path.stat()
    return _hash_of(path, status.st_size, status.st_mtime_ns, status.st_ino)


@cache
def _hash_of(path: Path, *status: int) -> str:
    return file_sha256(path)
