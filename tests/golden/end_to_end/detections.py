"""Official detections against `rankdet convert` and `rankdet predict` on the same real images."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from mmdet.datasets.lvis import LVISV1Dataset
from pycocotools import mask as mask_tools
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.optimize import linear_sum_assignment

from rankdet.data.manifest import Manifest, Split
from rankdet.training.predict import predict
from rankdet.training.presets import PRESETS
from rankdet.training.resolve import load_config
from rankdet.training.shrink import nodes
from tests.golden.end_to_end.cases import Case
from tests.golden.end_to_end.part import Part
from tests.golden.end_to_end.weights import converted

BOX = 1e-2  # pixels of the original image
SCORE = 1e-4
FAR = 1e6  # cost of a pair that is none
SQUARE = np.ones((3, 3), bool)  # a pixel and its eight neighbors


def compare_detections(part: Part, case: Case, data: Path, work: Path) -> None:
    """Predict on the recorded images and compare image by image."""
    official = _rows(case.folder / "detections.bbox.json")
    masked = _rows(case.folder / "detections.segm.json")
    image_ids = case.json("image_ids.json")
    manifest = _manifest(case, image_ids, data, work)
    checkpoint = converted(case, work)
    out = work / f"{case.name}.json"
    predict(case.entry_id, PRESETS["paper"], manifest, checkpoint, out, work / "runs", 1, 0)
    ours = json.loads(out.read_text())
    limit = _limit(case.entry_id)
    for kind, rows in (("bbox", official), ("segm", masked)):
        if rows is None:
            continue
        part.measured[f"{kind} detections"] = len(rows)
        part.expect(bool(rows), f"no official {kind} detection to compare")
        strangers = {row["image_id"] for row in rows} - set(image_ids)
        part.expect(not strangers, f"{kind}: images {sorted(strangers)} are not in image_ids.json")
        for image_id in image_ids:
            mine = [row for row in ours if row["image_id"] == image_id]
            theirs = [row for row in rows if row["image_id"] == image_id]
            _compare_image(part, f"{kind} of image {image_id}", kind, mine, theirs, limit)


def _rows(path: Path) -> list[dict] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _limit(entry_id: str) -> int:
    """Return the most detections that an image may have."""
    test = load_config(entry_id).model.test_cfg
    return min(node.max_per_img for node in nodes(test.get("rcnn", test)) if "max_per_img" in node)


def _manifest(case: Case, image_ids: list[int], data: Path, work: Path) -> Manifest:
    """Write annotations of the recorded images only, and a manifest that points to them."""
    lvis = "lvis" in case.name
    document: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    wanted = set(image_ids)
    for split in ("val", "train"):
        file = data / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text()) if file.is_file() else {"images": []}
        for image in content["images"]:
            if image["id"] in wanted:
                wanted.discard(image["id"])
                place = f"{split}/{image['file_name']}"
                document["images"].append(
                    _lvis(image, place) if lvis else image | {"file_name": place}
                )
                document["annotations"] += [
                    row for row in content["annotations"] if row["image_id"] == image["id"]
                ]
        document["categories"] = document["categories"] or content.get("categories", [])
    if wanted:
        raise FileNotFoundError(f"{data} without the images {sorted(wanted)}")
    document["images"].sort(key=lambda image: image_ids.index(image["id"]))
    if lvis:
        names = LVISV1Dataset.METAINFO["classes"]
        document["categories"] = [
            {"id": i + 1, "name": name, "frequency": "f"} for i, name in enumerate(names)
        ]
        # One box an image is enough: what is judged here is not AP.
        first = {row["image_id"]: row for row in document["annotations"] if not row["iscrowd"]}
        document["annotations"] = [row | {"category_id": 1} for row in first.values()]
    annotations = work / f"{case.name}.annotations.json"
    annotations.write_text(json.dumps(document))
    split = Split(str(annotations.resolve()), str(data.resolve()), len(image_ids), 0, "")
    classes = [row["name"] for row in document["categories"]]
    return Manifest("recorded", "lvis" if lvis else "coco", classes, work, split, split)


def _lvis(image: dict, place: str) -> dict:
    image = {key: image[key] for key in ("id", "width", "height")}
    fields = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    return image | fields | {"coco_url": f"http://images.cocodataset.org/{place}"}


def _compare_image(
    part: Part, what: str, kind: str, ours: list[dict], official: list[dict], limit: int
) -> None:
    pairs, mine, theirs = _paired(ours, official)
    # Which of several equal scores stay below the limit is not a property of the detector.
    cut = min((row["score"] for row in official), default=0.0)
    full = len(official) == len(ours) == limit
    tied = [row for row in mine + theirs if full and abs(row["score"] - cut) <= SCORE]
    if tied:
        part.notes.append(f"{what}: {len(tied)} rows tie at the cut of {limit}, score {cut:.6f}")
    part.equal(f"{what}: count", len(ours), len(official))
    for side, rows in (("here only", mine), ("official only", theirs)):
        lost = [row for row in rows if row not in tied]
        if lost:
            first = lost[0]
            shown = f"category {first['category_id']} score {first['score']:.6f}"
            part.problems.append(
                f"{what}: {len(lost)} {side}, first {shown} box {_short(first.get('bbox'))}"
            )
    for one, other in pairs:
        _compare_pair(part, what, kind, one, other)


def _compare_pair(part: Part, what: str, kind: str, ours: dict, official: dict) -> None:
    label = f"{what}, category {official['category_id']} score {official['score']:.6f}"
    score = abs(ours["score"] - official["score"])
    part.most("score", score)
    part.expect(score <= SCORE, f"{label}: score {ours['score']:.6f} here")
    if "bbox" in ours:
        box = float(np.abs(np.subtract(ours["bbox"], official["bbox"])).max())
        part.most("box px", box)
        part.expect(box <= BOX, f"{label}: box {_short(official['bbox'])}, off by {box:.3g} px")
    elif kind == "bbox":
        part.problems.append(f"{label}: no box here, official {_short(official['bbox'])}")
    if kind == "segm":
        far, iou = _mask_error(ours["segmentation"], official["segmentation"])
        part.most("mask pixels off the border", far)
        part.most("mask 1-IoU", 1 - iou)
        part.expect(far == 0, f"{label}: {far} mask pixels differ off the border, IoU {iou:.4f}")


def _mask_error(ours: dict, official: dict) -> tuple[int, float]:
    """Return how many pixels differ that lie off the official border, and the IoU.

    The border is the pixels with a neighbor on its other side, eight neighbors and both sides: a
    difference there is a shift of the outline by one pixel at most.
    """
    one, other = (mask_tools.decode(rle).astype(bool) for rle in (ours, official))
    if one.shape != other.shape:
        raise ValueError(f"masks of {one.shape} here, official {other.shape}")
    different = one != other
    outside = binary_dilation(other, SQUARE)
    inside = binary_erosion(other, SQUARE, border_value=1)
    union = (one | other).sum()
    return int((different & ~(outside & ~inside)).sum()), float(
        (one & other).sum() / union
    ) if union else 1.0


def _paired(ours: list[dict], official: list[dict]) -> tuple[list, list[dict], list[dict]]:
    """Pair the rows of an image within each category; return pairs and what is left of both.

    Only rows that could be the same are paired: boxes within 1 px and scores within 1e-2. That is
    far above the tolerance, so that an error is measured instead of two rows without a partner.
    """
    groups: dict[int, tuple[list, list]] = defaultdict(lambda: ([], []))
    for side, rows in enumerate((ours, official)):
        for row in rows:
            groups[row["category_id"]][side].append(row)
    pairs, mine, theirs = [], [], []
    for one, other in groups.values():
        cost = np.array([[_cost(a, b) for b in other] for a in one]).reshape(len(one), len(other))
        rows, columns = linear_sum_assignment(cost)
        good = [(i, j) for i, j in zip(rows, columns, strict=True) if cost[i, j] < FAR]
        pairs += [(one[i], other[j]) for i, j in good]
        mine += [row for i, row in enumerate(one) if i not in {pair[0] for pair in good}]
        theirs += [row for j, row in enumerate(other) if j not in {pair[1] for pair in good}]
    return pairs, mine, theirs


def _cost(ours: dict, official: dict) -> float:
    score = abs(ours["score"] - official["score"])
    box = 0.0
    if "bbox" in ours:
        box = float(np.abs(np.subtract(ours["bbox"], official["bbox"])).max())
    return FAR if box > 1.0 or score > 1e-2 else box / BOX + score / SCORE


def _short(box: list[float] | None) -> str:
    return "none" if box is None else "[" + ", ".join(f"{side:.2f}" for side in box) + "]"
