"""`rankdet prepare digits`: the built-in detection set, deterministic from its seed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rankdet.datasets import own_files
from rankdet.datasets.manifest import Manifest, Split, load_manifest
from rankdet.datasets.scenes import NAMES, SIDE, annotation, coco_file, compose, lvis_file, material
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.hashing import file_sha256
from rankdet.outputs import part_beside, part_of, real_path, shown_path, write_json

# Long tail: share of the objects of each class, and LVIS's frequency group in the train split.
LONG_TAIL = np.array([30, 24, 20, 16, 12, 0.9, 0.8, 0.7, 0.1, 0.1])
SET_NAMES = ("digits", "digits-lvis")
OBJECTS = {"few": (1, 2), "some": (2, 8), "many": (8, 16)}  # tried per image
FREQUENCIES = ["f"] * 5 + ["c"] * 3 + ["r"] * 2
IMBALANCE_FREQUENCIES = ["f"] * 4 + ["c"] * 3 + ["r"] * 3


def prepare_digits(
    out: str | Path,
    seed: int = 0,
    train_images: int = 1600,
    val_images: int = 300,
    long_tail: bool = False,
    imbalance: float | None = None,
    objects: str = "some",
    val_seed: int | None = None,
) -> Manifest:
    """Compose the set into the folder ``out``; the folder appears only when it is complete.

    Args:
        out: target folder; an older set of this kind there is replaced.
        seed: same seed, same bytes.
        train_images: images of the train split.
        val_images: images of the val split.
        long_tail: LVIS v1 format with rare, common and frequent classes; val stays balanced, so
            that rare classes can be measured.
        imbalance: LVIS v1 format; in train the first class has this many times the objects of the
            last, geometrically between them, and val stays balanced. The last three classes are
            the rare ones (APr) whatever the imbalance, so that the same classes are compared.
        objects: per image "few" (1 or 2), "some" (2 to 8) or "many" (8 to 16); fewer where there
            is no free space.
        val_seed: of the val split, by default ``seed``: another val split for the same train split.

    Returns:
        The manifest, also written to ``out/dataset.json``.

    Raises:
        InputError: if a count is not positive, an option has a value that it cannot have, or
            ``out`` holds anything that is not of such a set.
    """
    out = real_path(out)
    if min(train_images, val_images) < 1:
        raise InputError(
            "at least one image per split", f"{train_images}, {val_images}", "ask more"
        )
    long_tail = long_tail or imbalance is not None
    _check(imbalance, objects)
    _older_files(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with part_of(out, is_folder=True) as part:
        splits = {
            name: _write_split(part, name, count, _Composition(own, long_tail, imbalance, objects))
            for name, count, own in (
                ("train", train_images, seed),
                ("val", val_images, seed if val_seed is None else val_seed),
            )
        }
        manifest = Manifest(
            name=SET_NAMES[long_tail],
            format="lvis" if long_tail else "coco",
            classes=list(NAMES),
            category_ids=list(range(1, len(NAMES) + 1)),
            folder=out.resolve(),
            **splits,
        )
        write_json(part / "dataset.json", manifest.as_json())
        own_files.write_mark(part)
        _move_into_place(part, out)
    return manifest


def _older_files(out: Path) -> dict[str, str | None]:
    """Return the files of the set in ``out`` that a new one replaces.

    Raises:
        InputError: naming a file there that was not written by this function.
    """
    if not out.exists():
        return {}
    mark = own_files.read_mark(out) if out.is_dir() else {}
    written: dict[str, str | None] = _files_of_first_edition(out) if mark is None else dict(mark)
    problem = own_files.foreign(out, written) if out.is_dir() else "a file"
    if problem is not None:
        got = f"{shown_path(out)} with {shown_path(problem)}"
        fix = "choose another folder, or move your files away"
        raise InputError("a new or empty folder, or an older digits set alone", got, fix)
    return written


def _files_of_first_edition(out: Path) -> dict[str, str | None]:
    """Return what the manifest and the annotations of a set without a list of files name."""
    try:
        manifest = load_manifest(out)
        splits = {"train": manifest.train, "val": manifest.val}
        known = manifest.name in SET_NAMES and list(manifest.classes) == list(NAMES)
        files: dict[str, str | None] = {"dataset.json": None}
        for name, split in splits.items():
            known &= (split.annotations, split.images) == (f"annotations/{name}.json", name)
            files[split.annotations] = split.sha256
            for image in read_json(manifest.annotations(name))["images"]:
                files[f"{name}/{image['file_name']}"] = None
    except (InputError, OSError, KeyError, TypeError, ValueError):
        return {}
    return files if known else {}


def _move_into_place(part: Path, out: Path) -> None:
    """Put ``part`` in the place of the older set; what is not of the set is never deleted."""
    written = _older_files(out)  # again: composing takes a while
    old = part_beside(out)
    if out.exists():
        os.rename(out, old)
    os.rename(part, out)
    if old.exists():
        own_files.remove(old, written)


@dataclass(frozen=True)
class _Composition:
    """What the scenes of one split hold."""

    seed: int
    long_tail: bool
    imbalance: float | None
    objects: str

    def weights(self, split: str) -> np.ndarray:
        """Return the share of each class (10); only train is imbalanced."""
        weights = np.ones(10)
        if split == "train" and self.imbalance is not None:
            weights = self.imbalance ** -np.linspace(0, 1, 10)
        elif split == "train" and self.long_tail:
            weights = LONG_TAIL
        return weights / weights.sum()

    @property
    def frequencies(self) -> list[str]:
        """The frequency group of each class."""
        return FREQUENCIES if self.imbalance is None else IMBALANCE_FREQUENCIES

    @property
    def crowd_share(self) -> float:
        """The share of images with a crowd region, which LVIS's format does not have."""
        return 0 if self.long_tail else 0.05


def _check(imbalance: float | None, objects: str) -> None:
    if imbalance is not None and not 1 <= imbalance <= 1e6:
        expected = "--imbalance from 1 (balanced) to 1e6: objects of the first class over the last"
        raise InputError(expected, f"{imbalance:g}", "give another ratio")
    if objects not in OBJECTS:
        raise InputError(f"--objects as one of {', '.join(OBJECTS)}", repr(objects), "choose one")


def _write_split(root: Path, split: str, count: int, composition: _Composition) -> Split:
    (root / split).mkdir()
    (root / "annotations").mkdir(exist_ok=True)
    long_tail = composition.long_tail
    rng = np.random.default_rng([composition.seed, 0 if split == "train" else 1, int(long_tail)])
    weights = composition.weights(split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        scene = compose(
            *(material(split), rng, weights),
            crowd_share=composition.crowd_share,
            objects=OBJECTS[composition.objects],
        )
        image_id, file_name = index + 1, f"{index + 1:06d}.jpg"
        written = cv2.imwrite(
            str(root / split / file_name),
            scene.image[..., ::-1],
            [cv2.IMWRITE_JPEG_QUALITY, 92],
        )
        if not written:
            raise InputError("a folder that can be written", str(root), "check space and rights")
        images.append({"id": image_id, "file_name": file_name, "width": SIDE, "height": SIDE})
        for label, mask, crowd in zip(scene.labels, scene.masks, scene.is_crowd, strict=True):
            # Identities start at 1: an annotation with id 0 breaks the official evaluators.
            annotations.append(annotation(len(annotations) + 1, image_id, label, mask, crowd))
    if long_tail:
        images = [{**image, "split": split} for image in images]
        content = lvis_file(images, annotations, composition.frequencies)
    else:
        content = coco_file(images, annotations)
    path = root / "annotations" / f"{split}.json"
    write_json(path, content, indent=None)
    return Split(
        annotations=f"annotations/{split}.json",
        images=split,
        image_count=len(images),
        annotation_count=len(content["annotations"]),
        sha256=file_sha256(path),
    )
