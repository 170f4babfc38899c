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

from rankdet.catalogue.presets import PRESETS
from rankdet.datasets.manifest import Manifest, Split
from rankdet.models.build import load_config
from rankdet.training.predict import predict
from rankdet.training.shrink import nodes
from tests.golden.end_to_end.cases import Case
from tests.golden.end_to_end.part import Part
from tests.golden.end_to_end.weights import converted

BOX = 1e-2  # pixels of the original image
SCORE = 1e-4
MASK_SCORE = 1e-3  # of SOLOv2: most that pixels at the mask's threshold may add
MASK_BOX = 1.0  # pixels, of a box that is drawn around a mask
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
    _add_boxes(part, ours)
    limits = _limits(case.entry_id)
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
            compare_image(part, f"{kind} of image {image_id}", kind, mine, theirs, limits)


def _rows(path: Path) -> list[dict] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _add_boxes(part: Part, ours: list[dict]) -> None:
    """Give rows that are masks only the box around the mask, as official rows have it."""
    for row in ours:
        if "bbox" not in row:
            row |= {"bbox": mask_tools.toBbox(row["segmentation"]).tolist(), "derived": True}
    if any("derived" in row for row in ours):
        part.notes.append(f"boxes are those around our masks, to {MASK_BOX} px")


def _limits(entry_id: str) -> tuple[int, float]:
    """Return the most detections that an image may have, and the IoU of its NMS."""
    test = load_config(entry_id).model.test_cfg
    found = list(nodes(test.get("rcnn", test)))
    most = min(node.max_per_img for node in found if "max_per_img" in node)
    overlap = [node.iou_threshold for node in found if "iou_threshold" in node]
    return most, (overlap or [1.0])[0]


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


def compare_image(
    part: Part,
    what: str,
    kind: str,
    ours: list[dict],
    official: list[dict],
    limits: tuple[int, float],
) -> None:
    """Compare the detections of one image.

    Args:
        part: where misses go.
        what: the image, for messages.
        kind: "bbox" or "segm".
        ours, official: rows of the COCO results format.
        limits: the most detections of an image, and the IoU of its NMS.
    """
    pairs, mine, theirs = _paired(ours, official)
    for side, rows in (("here only", mine), ("official only", theirs)):
        lost = []
        for row in rows:
            reason = _nms_tie(row, pairs, limits[1]) or _cut_tie(row, ours, official, limits[0])
            if reason:
                part.notes.append(f"{what}: score {row['score']:.6f} {side}: {reason}")
            else:
                lost.append(row)
        if lost:
            first = lost[0]
            shown = f"category {first['category_id']} score {first['score']:.6f}"
            part.problems.append(
                f"{what}: {len(lost)} {side}, first {shown} box {_short(first['bbox'])}"
            )
    ties = len(mine) + len(theirs)
    part.expect(
        len(ours) == len(official) or abs(len(ours) - len(official)) <= ties,
        f"{what}: {len(ours)} detections here, official {len(official)}",
    )
    part.measured["ties"] = part.measured.get("ties", 0) + ties
    for one, other in pairs:
        _compare_pair(part, what, kind, one, other)


def _cut_tie(row: dict, ours: list[dict], official: list[dict], most: int) -> str:
    """Return why a row that one side lacks is a tie: which of equal scores stay is no property."""
    cut = min((other["score"] for other in official), default=0.0)
    if len(ours) == len(official) == most and abs(row["score"] - cut) <= SCORE:
        return f"at the cut of {most}, whose lowest score is {cut:.6f}"
    return ""


def _nms_tie(row: dict, pairs: list[tuple[dict, dict]], threshold: float) -> str:
    """Return why NMS may keep or drop a row: an overlap with a better one lies at its threshold.

    NMS moves the boxes of class c by c times the largest coordinate, in float32. Its steps there
    are what coordinates are rounded to, and a threshold is met or not by chance within them.
    """
    for better, _ in pairs:
        if better["category_id"] != row["category_id"] or better["score"] <= row["score"]:
            continue
        reach = max(sum(r["bbox"][i::2]) for r, _ in pairs for i in (0, 1))
        step = float(np.spacing(np.float32((row["category_id"] + 1) * (reach + 1))))
        sides = (*row["bbox"][2:], *better["bbox"][2:])
        allowed = sum(step / max(side, 1e-3) for side in sides)
        overlap = _iou(row["bbox"], better["bbox"])
        if abs(overlap - threshold) <= allowed:
            return f"IoU {overlap:.5f} with a better one, rounded to {allowed:.1e} in NMS"
    return ""


def _iou(one: list[float], other: list[float]) -> float:
    return float(mask_tools.iou([one], [other], [0])[0, 0])


def _compare_pair(part: Part, what: str, kind: str, ours: dict, official: dict) -> None:
    label = f"{what}, category {official['category_id']} score {official['score']:.6f}"
    score = abs(ours["score"] - official["score"])
    part.most("score", score)
    part.expect(score <= _allowed(ours), f"{label}: score {ours['score']:.6f} here")
    box = _apart(ours, official)
    part.most("box px", box)
    part.expect(
        box <= (MASK_BOX if "derived" in ours else BOX),
        f"{label}: box {_short(official['bbox'])}, off by {box:.3g} px",
    )
    if kind == "segm":
        _compare_masks(part, label, ours["segmentation"], official["segmentation"])


def _allowed(ours: dict) -> float:
    """Return by how much a score may differ.

    A detector without boxes (SOLOv2) multiplies the class score by the mean probability of the
    mask's pixels above 0.5, on a map of a quarter of the image's size. A pixel whose probability
    lies at 0.5 belongs to the mask on one processor and not on another, which moves the mean by up
    to 0.5 over the number of pixels.
    """
    if "derived" not in ours:
        return SCORE
    pixels = float(mask_tools.area(ours["segmentation"])) / 16
    return SCORE + min(0.5 / max(pixels, 1.0), MASK_SCORE)


def _compare_masks(part: Part, label: str, ours: dict, official: dict) -> None:
    """Compare two masks, whose outlines may differ by one pixel.

    A pixel may differ where one of its eight neighbors, or itself, is on the other side of the
    official outline. Off that border one pixel may differ, or one in a thousand of the mask:
    where a mask's probability lies flat at the threshold, rounding decides.
    """
    one, other = (mask_tools.decode(rle).astype(bool) for rle in (ours, official))
    if one.shape != other.shape:
        part.problems.append(f"{label}: mask of {one.shape} here, official {other.shape}")
        return
    border = binary_dilation(other, SQUARE) & ~binary_erosion(other, SQUARE, border_value=1)
    far = int(((one != other) & ~border).sum())
    union = int((one | other).sum())
    iou = (one & other).sum() / union if union else 1.0
    part.most("mask 1-IoU", 1.0 - iou)
    part.most("mask pixels off the border", far)
    part.expect(
        far <= max(1, union // 1000),
        f"{label}: {far} of {union} mask pixels differ off the border, IoU {iou:.4f}",
    )


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
    if score > 1e-2:
        return FAR
    if "derived" in ours:  # boxes around masks of the whole image tell nothing apart
        if "segmentation" in official:
            both = [ours["segmentation"]], [official["segmentation"]]
            return score / SCORE + 100 * (1 - float(mask_tools.iou(*both, [0])[0, 0]))
        return score / SCORE + min(_apart(ours, official), 100.0)
    box = _apart(ours, official)
    return FAR if box > 1.0 else box / BOX + score / SCORE


def _apart(ours: dict, official: dict) -> float:
    return float(np.abs(np.subtract(ours["bbox"], official["bbox"])).max())


def _short(box: list[float]) -> str:
    return "[" + ", ".join(f"{side:.2f}" for side in box) + "]"
