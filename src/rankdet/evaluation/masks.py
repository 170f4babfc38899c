"""Masks as run-length codes: polygons rasterised, results validated, areas and overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as mask_tools

from rankdet.errors import InputError
from rankdet.evaluation.arrangement import Arrangement
from rankdet.evaluation.columns import Detections, GroundTruth
from rankdet.evaluation.overlaps import Candidates, joined

Rle = dict[str, Any]


def encode(segmentation: Any, height: int, width: int, what: str) -> Rle:
    """Return the compressed RLE of polygons, of an uncompressed or of a compressed RLE.

    Args:
        segmentation: list of polygons (merged by union), or {"size", "counts"}.
        height: of the image, for polygons.
        width: of the image, for polygons.
        what: names the row in the error.

    Raises:
        InputError: if it is none of these.
    """
    try:
        if isinstance(segmentation, list):
            if not height or not width:
                raise InputError(
                    '"height" and "width" of every image with polygons', "none", "add them"
                )
            return mask_tools.merge(mask_tools.frPyObjects(segmentation, height, width))
        if isinstance(segmentation["counts"], list):
            return mask_tools.frPyObjects(segmentation, *segmentation["size"])
        return segmentation
    except (TypeError, KeyError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "a segmentation as polygons or RLE",
            f"{segmentation!r:.60} in {what} ({error})",
            "check how the file was written",
        ) from None
    except Exception as error:  # the compiled module raises bare Exceptions
        raise InputError(
            "a segmentation as polygons or RLE",
            f"{segmentation!r:.60} in {what} ({error})",
            "check how the file was written",
        ) from None


def check_rle(segmentation: Any, height: int, width: int, what: str) -> Rle:
    """Return ``segmentation`` if it is an RLE of exactly ``height`` x ``width`` pixels.

    The compiled decoder trusts its input and reads past the end of a torn string, hence the check.

    Raises:
        InputError: if it is anything else.
    """
    problem = ""
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        problem = f"{segmentation!r:.60}"
    else:
        size, counts = segmentation["size"], segmentation["counts"]
        if not isinstance(size, (list, tuple)) or ([height, width] != list(size) and height):
            problem = f"size {size} for an image of [{height}, {width}]"
        elif isinstance(counts, list):
            if not all(isinstance(run, int) and run >= 0 for run in counts):
                problem = "runs that are no counts"
            elif sum(counts) != size[0] * size[1]:
                problem = f"runs of {sum(counts)} pixels for {size[0] * size[1]}"
        elif isinstance(counts, (str, bytes)):
            problem = _torn(counts, size[0] * size[1])
        else:
            problem = f"counts of type {type(counts).__name__}"
    if problem:
        raise InputError(
            'a mask as RLE {"size": [height, width], "counts": ...}',
            f"{problem} in {what}",
            "encode masks with pycocotools.mask.encode and decode its bytes as ASCII",
        )
    return segmentation


def runs(counts: bytes) -> np.ndarray:
    """Decode the runs of one compressed RLE (6 bits a character, 5 of them data; differences).

    Raises:
        ValueError: if the string is torn or holds other characters.
    """
    code = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if not len(code):
        return code
    if code.min() < 0 or code.max() > 63 or code[-1] & 32:
        raise ValueError("a torn or foreign string of counts")
    is_end = (code & 32) == 0
    starts = np.concatenate([[0], np.flatnonzero(is_end)[:-1] + 1])
    within = np.arange(len(code)) - np.repeat(starts, np.diff(np.append(starts, len(code))))
    if within.max() > 6:
        raise ValueError("a count that is too long")
    value = np.add.reduceat((code & 31) << (5 * within), starts)
    is_negative = code[is_end] & 16 != 0
    value[is_negative] -= 1 << (5 * (within[is_end][is_negative] + 1))
    if len(value) > 3:  # from the fourth on, each is the difference to the last but one
        value[1::2] = np.cumsum(value[1::2])
        value[2::2] = np.cumsum(value[2::2])
    return value


def _torn(counts: str | bytes, pixels: int) -> str:
    try:
        value = runs(counts.encode("ascii") if isinstance(counts, str) else counts)
    except (ValueError, UnicodeEncodeError) as error:
        return str(error)
    if (value < 0).any():
        return "a negative run"
    return "" if value.sum() == pixels else f"runs of {value.sum()} pixels for {pixels}"


def areas(rles: list[Rle]) -> np.ndarray:
    """Pixel counts [N]."""
    # One by one: pycocotools 2.0.11 fails on more than 255 at once under numpy 2.
    return np.array([mask_tools.area(rle) for rle in rles], dtype=np.float64)


def mask_candidates(
    arrangement: Arrangement,
    dt_masks: list[Rle],
    gt_masks: list[Rle],
    is_crowd: np.ndarray,
    lowest: float,
) -> Candidates:
    """Pairs of masks with IoU >= ``lowest``, group by group in the compiled module.

    Args:
        arrangement: the sorted groups.
        dt_masks: compressed RLEs in the arrangement's order [N].
        gt_masks: compressed RLEs in the arrangement's order [G].
        is_crowd: in the arrangement's order [G].
        lowest: the lowest IoU threshold.
    """
    crowd = is_crowd.astype(np.uint8)
    starts = np.flatnonzero(arrangement.rank == 0)
    stops = np.append(starts[1:], len(arrangement.rank))
    parts = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        first, count = int(arrangement.gt_start[start]), int(arrangement.gt_count[start])
        if not count:
            continue
        last = first + count
        iou = mask_tools.iou(dt_masks[start:stop], gt_masks[first:last], crowd[first:last])
        detection, annotation = np.nonzero(iou >= lowest)
        parts.append((detection + start, annotation + first, iou[detection, annotation]))
    return joined(parts)


def boxes(rles: list[Rle]) -> np.ndarray:
    """Tight boxes x, y, w, h of masks [N, 4]."""
    return np.array([mask_tools.toBbox(rle) for rle in rles], dtype=np.float64).reshape(-1, 4)


def ground_truth_masks(ground_truth: GroundTruth, gt_row: np.ndarray) -> list[Rle]:
    """Compressed RLEs of the annotations ``gt_row``."""
    sizes = ground_truth.image_sizes[ground_truth.image].tolist()
    return [
        encode(ground_truth.segmentation[row], *sizes[row], what="an annotation")
        for row in gt_row.tolist()
    ]


def detection_masks(
    found: Detections,
    ground_truth: GroundTruth,
    image: np.ndarray,
    iou_type: str,
    area: str,
) -> list[Rle] | None:
    """Compressed RLEs of all detections where the evaluation needs them, else None.

    Raises:
        InputError: if they are needed and absent, or malformed.
    """
    if iou_type == "bbox" and found.box is not None and area != "mask":
        return None
    if area == "box" and found.box is None:
        raise InputError(
            "detections with boxes for box areas", "masks only", 'use area="mask" or "auto"'
        )
    if found.segmentation is None:
        raise InputError(
            '"segmentation" in every detection', "boxes only", 'use iou_type="bbox", area="box"'
        )
    sizes = ground_truth.image_sizes[image].tolist()
    return [
        encode(check_rle(mask, *size, what=f"detection {row}"), *size, what=f"detection {row}")
        for row, (mask, size) in enumerate(zip(found.segmentation, sizes, strict=True))
    ]
