"""The images of a split, opened as the training opens them: names, sizes, orientation."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from rankdet.errors import InputError

REMEDY = "replace or complete the file, or leave the image out of the annotation file"
ORIENTATION = 0x0112  # the EXIF tag: 1 upright, 2 to 4 mirrored or upside down, 5 to 8 on its side
PROGRESS_SECONDS = 20.0
SHOWN, STORED = "shown", "stored"


@dataclass(frozen=True)
class Opened:
    """What one image file is.

    Attributes:
        width, height: in pixels, as stored in the file.
        orientation: the turn that the camera noted; 1 if none.
    """

    width: int
    height: int
    orientation: int

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height after the turn, as OpenCV reads the file."""
        size = (self.width, self.height)
        return size[::-1] if self.orientation >= 5 else size


def image_name(row: dict) -> str:
    """Return the path of an image below its folder.

    LVIS v1 names images by their address only, of which the last two parts are folder and file.
    """
    return row.get("file_name") or "/".join(row["coco_url"].split("/")[-2:])


def find_images(rows: Sequence[dict], folder: Path) -> list[str]:
    """Return the path of each image below ``folder``; Windows separators are read as "/".

    Args:
        rows: the annotation file's list of images.
        folder: where they are.

    Raises:
        InputError: naming the first entry without a name, or the first image that is not there.
    """
    names = [_checked_name(number, row) for number, row in enumerate(rows)]
    present = _Present(folder)
    found = []
    for name in names:
        slashes = name.replace("\\", "/")
        found.append(name if name in present or slashes not in present else slashes)
    outside = [name for name in found if not _is_inside(name, folder)]
    if outside:
        raise InputError(
            f"names of images below {folder}",
            f"{outside[0]}, outside of it",
            "name the folder that holds all images of the split, and write the names from there",
        )
    missing = [name for name in found if name not in present]
    if missing:
        raise InputError(
            f"the images of the annotation file in {folder}",
            f"{len(set(missing))} of {len(set(found))} looked for are missing, first {missing[0]}",
            present.hint(missing[0]),
        )
    return found


def _checked_name(number: int, row: dict) -> str:
    key = "file_name" if row.get("file_name") is not None or "coco_url" not in row else "coco_url"
    name = row.get(key)
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InputError(
            f"images[{number}] with a file_name",
            f"{key} {name!r:.60}",
            "write the file's path below the image folder",
        )
    return image_name(row)


def _is_inside(name: str, folder: Path) -> bool:
    """Tell whether a name leads to a place below ``folder``; links in between may lead anywhere."""
    path = os.path.normpath(folder / name)
    return path.startswith(os.path.normpath(folder) + os.sep)


class _Present:
    """The files below a folder. One walk instead of a question for each of 118 287 names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, set[str]] = {}

    def __contains__(self, name: str) -> bool:
        parent, file = os.path.split(name)
        return file in self._in(parent)

    def _in(self, parent: str) -> set[str]:
        if parent not in self._files:
            try:
                with os.scandir(self.folder / parent) as entries:
                    self._files[parent] = {entry.name for entry in entries if entry.is_file()}
            except (OSError, ValueError):
                self._files[parent] = set()
        return self._files[parent]

    def hint(self, name: str) -> str:
        """Return what to do about a missing image, from what is there in its place."""
        parent, file = os.path.split(name.replace("\\", "/"))
        if file in self._in(""):
            return f"{file} is there: leave the folder {parent}/ out of the file names"
        alike = [own for own in self._in(parent) if own.lower() == file.lower()]
        if alike:
            return f"{alike[0]} is there: write upper and lower case as in the folder"
        stems = [own for own in self._in(parent) if Path(own).stem == Path(file).stem]
        if stems:
            return f"{stems[0]} is there: write the file names with their own endings"
        return "complete the images, or correct the file names or the folder"


def open_images(names: Sequence[str], folder: Path, label: str) -> list[Opened]:
    """Decode every image with OpenCV, as the training does.

    Args:
        names: paths below ``folder``.
        folder: of the images.
        label: stands before progress lines.

    Raises:
        InputError: naming the first file that OpenCV cannot read.
    """
    unique = list(dict.fromkeys(names))
    reported = time.monotonic()
    found: dict[str, Opened] = {}
    with (
        _large_images_allowed(),
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        opened = pool.map(_open, (folder / name for name in unique))
        for name, image in zip(unique, opened, strict=True):
            found[name] = image
            if time.monotonic() - reported > PROGRESS_SECONDS:
                reported = time.monotonic()
                print(f"{label}: {len(found)} of {len(unique)} images opened", file=sys.stderr)
    return [found[name] for name in names]


@contextmanager
def _large_images_allowed() -> Iterator[None]:
    """Let Pillow open what OpenCV opens: it refuses 179 million pixels, a usual satellite scene."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _open(path: Path) -> Opened:
    try:
        content = np.fromfile(path, np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    except OSError as error:
        raise InputError("images that can be read", f"{path}: {error.strerror}", REMEDY) from None
    except cv2.error:  # such as more pixels than OpenCV takes
        pixels = None
    if pixels is None:
        raise InputError(
            "images that OpenCV reads, as the training does",
            f"{path}, which is damaged or of a kind that OpenCV cannot read (as 32-bit TIFF)",
            REMEDY,
        )
    orientation = _orientation(path)
    if orientation != 1:
        stored = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if stored is None or np.array_equal(stored, pixels):  # OpenCV knows no turn of such files
            orientation = 1
        pixels = pixels if stored is None else stored
    height, width = pixels.shape[:2]
    return Opened(width, height, orientation)


def _orientation(path: Path) -> int:
    """Return the EXIF orientation of a file that OpenCV has read."""
    try:
        with Image.open(path) as image:
            found = image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError):
        return 1
    return found if found in range(1, 9) else 1


@dataclass(frozen=True)
class Sizes:
    """How a split counts the pixels of its images.

    Attributes:
        sizes: width and height of each image, as its annotations count them.
        orientation: "shown" (turned by EXIF, as OpenCV reads) or "stored".
        undecided: images with a turn that their size cannot tell, such as upside down.
    """

    sizes: list[tuple[int, int]]
    orientation: str
    undecided: list[str]


def sizes_as_annotated(
    rows: Sequence[dict],
    opened: Sequence[Opened],
    paths: Sequence[str],
    is_official: bool = False,
) -> Sizes:
    """Compare the files with the sizes of their annotations, and find out which pixels they count.

    Cameras note a turn beside the pixels. OpenCV turns the image; some annotation tools do not.
    Which of the two the annotations mean shows where the turn exchanges width and height.

    Args:
        rows: the list of images; a width or height that is missing or null is taken from the file.
        opened: of each row.
        paths: of each row, for errors.
        is_official: read as the official runs did, with every turn, and decide nothing.

    Raises:
        InputError: if a file has another size than its annotations say, or images of both kinds
            stand in one list.
    """
    first: dict[str, str] = {}
    undecided = []
    wanted = [_annotated_size(number, row) for number, row in enumerate(rows)]
    for size, image, path in zip(wanted, opened, paths, strict=True):
        stored = (image.width, image.height)
        if size is not None and size not in (stored, image.shown):
            raise _other_size(size, image, path)
        if size is not None and stored != image.shown:
            first.setdefault(STORED if size == stored else SHOWN, path)
        elif image.orientation != 1:
            undecided.append(path)
    if is_official:
        first, undecided = {}, []
    if len(first) == 2:
        raise InputError(
            "one orientation for all images of a split",
            f"{first[STORED]} annotated as stored, and {first[SHOWN]} annotated as turned by its "
            "EXIF orientation",
            "turn the pixels of such images and remove their EXIF orientation, then annotate again",
        )
    orientation = next(iter(first), SHOWN)
    sizes = [
        size or ((image.width, image.height) if orientation == STORED else image.shown)
        for size, image in zip(wanted, opened, strict=True)
    ]
    return Sizes(sizes, orientation, [] if first else undecided)


def _annotated_size(number: int, row: dict) -> tuple[int, int] | None:
    """Return width and height; None if the list does not say."""
    if row.get("width") is None or row.get("height") is None:
        return None
    for key in ("width", "height"):
        value = row[key]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 1 <= value < math.inf or value != int(value):
            raise InputError(
                f"{key} of every image as a number of pixels",
                f"{value!r:.40} in images[{number}]",
                "write it as a JSON number, or leave width and height out: they are then read "
                "from the file",
            )
    return int(row["width"]), int(row["height"])


def _other_size(wanted: tuple[int, int], image: Opened, path: str) -> InputError:
    swapped = wanted == (image.height, image.width)
    return InputError(
        f"{path} of {wanted[0]} x {wanted[1]} pixels, as its annotations say",
        f"{image.width} x {image.height}" + ", and no EXIF turn" * swapped,
        "exchange width and height in the annotation file, and check the boxes"
        if swapped
        else "restore the image, or correct width and height in the annotation file",
    )
