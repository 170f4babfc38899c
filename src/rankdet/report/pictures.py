"""Sample detections of a run, drawn beside those of another row and the ground truth."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from rankdet.errors import InputError
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.masks import check_mask
from rankdet.evaluation.reading import read_detections, read_ground_truth
from rankdet.files import read_json
from rankdet.report.classes import read_classes
from rankdet.report.names import printable
from rankdet.report.results import Run

IMAGES = 3
LONG_SIDE = 480  # pixels of a panel
MOST = 30  # detections in a panel, those with the highest scores
PANEL_BYTES = 24_000  # so that nine panels in base64 are below 300 kB
QUALITIES = (82, 70, 58, 46, 34, 22, 12)
LARGEST_PIXELS = 100_000_000  # larger images are not opened
LABEL = 24  # characters
# The Okabe-Ito palette, by the order of the classes.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a000", "#5d6673")


@dataclass(frozen=True)
class ValData:
    """The val split of a prepared data set.

    Attributes:
        annotations: its file.
        images: its folder.
        protocol: "coco" or "lvis".
        as_stored: whether boxes count the pixels as stored, not as turned by the camera's note.
        find: returns the paths below the folder of rows of the file's list of images.
    """

    annotations: Path
    images: Path
    protocol: str
    as_stored: bool
    find: Callable[[Sequence[dict[str, Any]], Path], list[str]]


@dataclass(frozen=True)
class Panel:
    """One picture: its title, the address with the picture itself, and its content in words."""

    title: str
    address: str
    words: str


@dataclass(frozen=True)
class Sample:
    """One image: its file name and its panels, or why it could not be drawn."""

    name: str
    panels: tuple[Panel, ...]
    problem: str = ""


@dataclass(frozen=True)
class _Object:
    category: int  # its place in the ground truth's categories
    score: float | None
    box: np.ndarray | None  # x, y, width, height
    mask: Any  # polygons or an RLE


def samples(runs: Sequence[tuple[str, Run]], data: ValData) -> list[Sample]:
    """Draw the sample images.

    The images are those at 1/6, 3/6 and 5/6 of the list of images with annotations, by id: they are
    the same for all rows on the same data. Detections are drawn if their score reaches the
    threshold with the lowest LRP error of their class in ``metrics.json``; a class without a true
    positive has none.

    Args:
        runs: the runs to draw, with their titles; this run first.
        data: the images and the ground truth.

    Raises:
        InputError: if the annotations or a file of a run are not as `rankdet` wrote them.
    """
    types = ("bbox", "segm") if _with_masks(runs) else ("bbox",)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluation printed them
        changed = data.annotations.stat().st_mtime_ns
        rows, truth = _truth(data.annotations, types, data.protocol, changed)
        found = [(title, run, _detections(run)) for title, run in runs]
    drawn = []
    for place in chosen(truth):
        panels: list[tuple[str, list[_Object] | None]] = []
        panels.append(("Ground truth", _annotated(truth, place)))
        for title, run, detections in found:
            panels.append((title, _above(detections, run, truth, place)))
        drawn.append(_sample(rows[int(truth.image_ids[place])], panels, truth, place, data))
    return drawn


@lru_cache(maxsize=2)  # the pages of many rows need the same
def _truth(
    path: Path, types: tuple[str, ...], protocol: str, changed: int
) -> tuple[dict[Any, dict[str, Any]], GroundTruth]:
    """Return the file's rows of images by id, and its annotations."""
    document = read_json(path, "the annotations of the val images")
    truth = read_ground_truth(document, types, protocol)
    return {row["id"]: row for row in document["images"]}, truth


def chosen(truth: GroundTruth, count: int = IMAGES) -> list[int]:
    """Return the places of the sample images among ``truth.image_ids``."""
    annotated = np.unique(truth.image[~truth.is_crowd])
    count = min(count, len(annotated))
    return [int(annotated[(2 * each + 1) * len(annotated) // (2 * count)]) for each in range(count)]


def _with_masks(runs: Sequence[tuple[str, Run]]) -> bool:
    return any("segm" in run.entry.iou_types for _, run in runs)


def _detections(run: Run) -> Detections | None:
    path = run.folder / "detections.json"
    return read_detections(path) if path.is_file() else None


def _annotated(truth: GroundTruth, place: int) -> list[_Object]:
    return [
        _Object(
            int(truth.category[row]),
            None,
            None if truth.box is None else truth.box[row],
            None if truth.segmentation is None else truth.segmentation[row],
        )
        for row in np.flatnonzero((truth.image == place) & ~truth.is_crowd)
    ]


def _above(
    found: Detections | None, run: Run, truth: GroundTruth, place: int
) -> list[_Object] | None:
    """Return the detections above the thresholds, by descending score; None without a file."""
    if found is None:
        return None
    limits = _limits(run)
    places = {int(each): index for index, each in enumerate(truth.category_ids)}
    rows = np.flatnonzero(found.image_id == truth.image_ids[place])
    rows = rows[np.argsort(-found.score[rows], kind="stable")]
    with_masks = "segm" in run.entry.iou_types and found.segmentation is not None
    kept = []
    for row in rows.tolist():
        category, score = int(found.category_id[row]), float(found.score[row])
        limit = limits.get(category)
        if limit is None or score < limit or category not in places:
            continue
        box = None if found.box is None else found.box[row]
        mask = found.segmentation[row] if with_masks and found.segmentation else None
        kept.append(_Object(places[category], score, box, mask))
    return kept[:MOST]


def _limits(run: Run) -> Mapping[int, float | None]:
    rows = read_classes(run.folder / "metrics.json", run.main_iou_type)
    return {row.category_id: row.threshold for row in rows}


def _sample(
    row: dict[str, Any],
    panels: Sequence[tuple[str, list[_Object] | None]],
    truth: GroundTruth,
    place: int,
    data: ValData,
) -> Sample:
    size = tuple(int(each) for each in truth.image_sizes[place])
    try:
        (name,) = data.find([row], data.images)
        image = _opened(data.images / name, data.as_stored)
    except InputError as error:
        return Sample(f"image {row['id']}", (), f"{error.expected}: {error.got}")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not an image"
        return Sample(printable(name), (), f"cannot be read: {reason}")
    shown = []
    for title, objects in panels:
        if objects is None:
            continue
        picture = _drawn(image, objects, truth.category_names, size)
        shown.append(Panel(title, _address(picture), _words(objects, truth.category_names)))
    return Sample(printable(name), tuple(shown))


def _opened(path: Path, as_stored: bool) -> Image.Image:
    """Return the image in RGB, turned as the loader turns it."""
    with Image.open(path) as file:
        if file.width * file.height > LARGEST_PIXELS:
            raise ValueError("too large")
        image = file if as_stored else ImageOps.exif_transpose(file)
        if image.mode.startswith("I") or image.mode == "F":
            return _eight_bits(image)
        return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of 16 or 32 bits over its own range, which Pillow would clip."""
    values = np.asarray(image, float)
    span = float(values.max() - values.min()) or 1.0
    gray = ((values - values.min()) * (255 / span)).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def _drawn(
    image: Image.Image, objects: Sequence[_Object], names: Sequence[str], size: tuple[int, ...]
) -> Image.Image:
    """Return the image with masks, boxes and labels; those with the highest scores on top.

    Args:
        image: in RGB.
        objects: to draw, by descending score.
        names: of the classes.
        size: height and width that boxes and masks count; 0 if the file does not say.
    """
    scale = LONG_SIDE / max(image.size)
    shown = image.resize(
        [max(1, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC
    )
    for each in reversed(objects):
        if each.mask is not None:
            _fill(shown, each, size)
    pen = ImageDraw.Draw(shown)
    for each in reversed(objects):
        corners = _corners(each.box, scale, shown.size)
        if corners is not None:
            pen.rectangle(corners, outline=_color(each), width=2)
    for each in reversed(objects):
        corners = _corners(each.box, scale, shown.size)
        _label(pen, _text(each, names), (corners or (0, 0))[:2], _color(each), shown.size)
    return shown


def _fill(shown: Image.Image, each: _Object, size: tuple[int, ...]) -> None:
    """Color the pixels of a mask; one that is not a mask of the image is left out."""
    try:
        check_mask(each.mask, size, "mask")
    except InputError:
        return
    area = Image.fromarray(_pixels(each.mask, size) * np.uint8(120)).resize(shown.size)
    shown.paste(_color(each), (0, 0), area)


def _pixels(mask: Any, size: tuple[int, ...]) -> np.ndarray:
    """Return the mask as 0 and 1 [H, W]."""
    from pycocotools import mask as mask_tools

    encoded = mask
    if isinstance(mask, list):
        encoded = mask_tools.merge(mask_tools.frPyObjects(mask, *size))
    elif isinstance(mask["counts"], list):
        encoded = mask_tools.frPyObjects(mask, *size)
    pixels: np.ndarray = mask_tools.decode(encoded)
    return pixels


def _corners(
    box: np.ndarray | None, scale: float, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Return left, top, right, bottom within the picture; None without a box or outside of it."""
    if box is None or not np.isfinite(box).all():
        return None
    left, top, width, height = (scale * float(value) for value in box)
    right, bottom = min(left + width, size[0] - 1), min(top + height, size[1] - 1)
    left, top = max(left, 0), max(top, 0)
    return (left, top, right, bottom) if left <= right and top <= bottom else None


def _color(each: _Object) -> str:
    return COLORS[each.category % len(COLORS)]


def _text(each: _Object, names: Sequence[str]) -> str:
    name = printable(names[each.category])
    name = name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"
    return name if each.score is None else f"{name} {each.score:.2f}"


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Return the font of the figures, which matplotlib brings along."""
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(path), 13)


def _label(
    pen: ImageDraw.ImageDraw,
    text: str,
    corner: Sequence[float],
    color: str,
    size: tuple[int, int],
) -> None:
    """Write a text on a colored ground, above the corner if there is room."""
    width, height = pen.textlength(text, font=_font()) + 6, 17
    left = max(0.0, min(corner[0], size[0] - width))
    top = corner[1] - height if corner[1] >= height else corner[1]
    pen.rectangle((left, top, left + width, top + height), fill=color)
    pen.text((left + 3, top + 1), text, fill="white", font=_font())


def _address(picture: Image.Image) -> str:
    """Return the picture as an address with its own content; smaller files at a lower quality."""
    content = b""
    for quality in QUALITIES:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality, optimize=True)
        content = stream.getvalue()
        if len(content) <= PANEL_BYTES:
            break
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _words(objects: Sequence[_Object], names: Sequence[str]) -> str:
    """Return what is drawn, for readers who do not see it."""
    return ", ".join(_counted(objects, names)) or "nothing"


def _counted(objects: Sequence[_Object], names: Sequence[str]) -> Iterator[str]:
    counts: dict[int, int] = {}
    for each in objects:
        counts[each.category] = counts.get(each.category, 0) + 1
    for category, count in sorted(counts.items()):
        name = printable(names[category])[:LABEL]
        yield name if count == 1 else f"{count} × {name}"
