"""Official LVIS data: repeat factors, order of the images, file names, classes.

The annotation file that the record was made with is not kept. One that must give the same record
is made here: an image is repeated there if and only if it has a class that no other image has, so
each repeated image gets a class of its own, and every other class stands in two images or more.
The official code counts the classes of all annotations, those without area included; half of the
lone classes therefore stand on such annotations.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules

from rankdet.catalogue.presets import PRESETS
from rankdet.datasets.manifest import Manifest, Split
from rankdet.models.data import LvisDataset
from rankdet.training.resolve import resolve
from tests.golden.end_to_end.data_under_test import candidates, data_node
from tests.golden.end_to_end.part import Part

FACTOR = 1e-12  # relative
THRESHOLD = 1e-3  # of the published repeat-factor sampling
LONG, SHORT = 640, 480
# A class that mmdet 2 misspells; mmdet 3 and LVIS do not.
SPELLING = {"speaker_(stero_equipment)": "speaker_(stereo_equipment)"}


def lvis_entry() -> str:
    """Return the entry that is trained on LVIS."""
    return next(name for name, _ in candidates("rs_mask_r50_lvis") if "lvis" in name)


def compare_lvis(part: Part, recorded: Path, work: Path) -> None:
    """Build our LVIS data set on the made file and compare what the official one gave."""
    record = json.loads(recorded.read_text())
    entry = lvis_entry()
    part.notes.append(f"compared with {entry}")
    document = made_file(record)
    file = work / "lvis_made.json"
    file.write_text(json.dumps(document))
    split = Split(str(file.resolve()), str(work.resolve()), len(record["ids"]), 0, "")
    # As `rankdet prepare` reads them; that our own list has them too is compared below.
    classes = [row["name"] for row in document["categories"]]
    register_all_modules()
    config = resolve(entry, PRESETS["paper"], Manifest("lvis", "lvis", classes, work, split, split))
    wrapper = DATASETS.build(dict(config.train_dataloader.dataset, lazy_init=True))
    wrapper.full_init()
    dataset = wrapper.dataset
    rows = [dataset.get_data_info(i) for i in range(len(dataset))]
    ids = [row["img_id"] for row in rows]
    part.measured["images"] = len(ids)
    part.equal("images and their order", ids == record["ids"], True)
    names = [SPELLING.get(name, name) for name in record["classes"]]
    part.equal("classes", list(LvisDataset.METAINFO["classes"]) == names, True)
    part.equal("classes in use", list(dataset.metainfo["classes"]) == record["classes"], True)
    part.equal("category ids", list(dataset.cat_ids) == record["cat_ids"], True)
    files = ["/".join(Path(row["img_path"]).parts[-2:]) for row in rows[: len(record["files"])]]
    part.equal("file names", files == record["files"], True)
    if ids == record["ids"]:
        factors = wrapper._get_repeat_factors(dataset, wrapper.oversample_thr)
        wrong = [
            i
            for i, (ours, official) in enumerate(zip(factors, record["factors"], strict=True))
            if abs(ours - official) > FACTOR * official
        ]
        part.measured["factors"] = len(factors)
        for i in wrong[:1]:
            part.problems.append(
                f"{len(wrong)} repeat factors differ, first of image {ids[i]}: {factors[i]}, "
                f"official {record['factors'][i]}"
            )
        epoch = [ids[wrapper._get_ori_dataset_idx(i)] for i in range(len(wrapper))]
        part.equal("images of an epoch and their order", epoch == record["epoch"], True)
        infos = [wrapper.get_data_info(i) for i in range(len(wrapper))]
        wide = [int(info["width"] / info["height"] > 1) for info in infos]
        part.equal("shape groups of an epoch", wide == record["flag"], True)
    _boxes(part, record, dict(zip(ids, rows, strict=True)))
    _settings(part, record, config)


def _boxes(part: Part, record: dict, rows: dict[int, dict]) -> None:
    for name, (boxes, labels) in record["boxes"].items():
        if int(name) not in rows:
            continue  # already a miss
        # Boxes that were written without area, or for a lone class, are not of the record.
        instances = rows[int(name)]["instances"]
        ours = np.array([i["bbox"] for i in instances], np.float32).reshape(-1, 4)
        same = [i["bbox_label"] for i in instances] == labels
        part.expect(same, f"labels of image {name} differ")
        if same and labels:
            error = float(np.abs(ours - np.array(boxes, np.float32)).max())
            part.most("boxes px", error)
            part.expect(error <= 1e-3, f"boxes of image {name} off by {error:.2g} px")


def _settings(part: Part, record: dict, config) -> None:
    test = config.model.test_cfg.rcnn
    for name, official in record.get("test_cfg", {}).items():
        ours = test.get(name)
        part.equal(f"test {name}", dict(ours) if isinstance(ours, dict) else ours, official)
    if "batch" in record:
        part.equal("images of a batch", config.train_dataloader.batch_size, record["batch"])
    if "len" in record:
        length = sum(
            math.ceil(count / record["batch"]) for count in Counter(record["flag"]).values()
        )
        part.equal("full batches of an epoch", length, record["len"])
    steps = data_node(config, "train").pipeline
    official = {step["type"]: step for step in record.get("train_pipeline", ())}
    if "Resize" in official:
        scales = [sorted(s) for step in steps for s in step.get("scales", ())]
        part.equal("sizes", scales, [sorted(s) for s in official["Resize"]["img_scale"]])
    if "RandomFlip" in official:
        flip = next(step.prob for step in steps if step.type == "RandomFlip")
        part.equal("flip", flip, official["RandomFlip"]["flip_ratio"])


def made_file(record: dict) -> dict:
    """Return LVIS annotations whose official record is ``record``.

    Raises:
        ValueError: if the record is of a kind that cannot be made this way.
    """
    ids, count = record["ids"], len(record["ids"])
    factor = dict(zip(ids, record["factors"], strict=True))
    lone = math.sqrt(THRESHOLD * count)
    odd = {f for f in factor.values() if abs(f - 1) > FACTOR and abs(f - lone) > 1e-9}
    if odd or THRESHOLD * count / 2 > 1:
        raise ValueError(f"factors other than 1 and {lone}: {sorted(odd)[:3]}")
    boxes = {int(name): found for name, found in record["boxes"].items()}
    wide = dict(zip(record["epoch"], record["flag"], strict=True))
    seen = Counter(c for _, labels in boxes.values() for c in set(labels))
    free = [c for c in range(len(record["classes"])) if c not in seen]
    plain = [i for i in ids if i not in boxes and factor[i] == 1]
    repeated = [i for i in ids if i not in boxes and factor[i] > 1]
    annotations: list[dict] = []

    def add(image: int, label: int, box: list[float]) -> None:
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=image,
                category_id=record["cat_ids"][label],
                bbox=box,
                area=box[2] * box[3],
                segmentation=[[0, 0, 1, 0, 1, 1]],
                iscrowd=0,
            )
        )

    keep_lone = set()
    for image, (corners, labels) in boxes.items():
        for (x1, y1, x2, y2), label in zip(corners, labels, strict=True):
            add(image, label, [x1, y1, x2 - x1, y2 - y1])
        if factor[image] > 1:
            keep_lone.add(next(label for label in labels if seen[label] == 1))
        elif not labels:
            add(image, free[-1], [10.0, 10.0, 0.0, 5.0])
    if len(free) < len(repeated) + 2:
        raise ValueError("not enough classes for the repeated images")
    for number, image in enumerate(repeated):
        # Every second one is known by an annotation without area alone.
        add(image, free[number], [10.0, 10.0, 20.0 * (number % 2), 30.0])
        add(image, free[-2], [50.0, 60.0, 20.0, 30.0])
    common = [c for c in range(len(record["classes"])) if c in seen and c not in keep_lone]
    spare = [*common, *free[len(repeated) :]]
    for number in range(max(len(plain), 2 * len(spare))):
        image = plain[number % len(plain)]
        add(image, spare[number % len(spare)], [50.0, 60.0, 20.0, 30.0])
    return {
        "images": [_image(record, i, wide, boxes) for i in _with_holes(ids)],
        "annotations": annotations,
        "categories": [
            {"id": i, "name": name, "frequency": "f"}
            for i, name in zip(record["cat_ids"], record["classes"], strict=True)
        ],
    }


def _with_holes(ids: list[int]) -> list[int]:
    """Return the ids with those between them that are missing: images without annotations."""
    step = math.gcd(*(abs(a - b) for a, b in pairwise(ids)))
    direction = step if ids[-1] > ids[0] else -step
    full = list(range(ids[0], ids[-1] + direction, direction))
    return full if set(ids) <= set(full) else ids


def _image(record: dict, image: int, wide: dict[int, int], boxes: dict) -> dict:
    corners = boxes.get(image, ([], []))[0]
    right, low = (math.ceil(max((box[i] for box in corners), default=0)) for i in (2, 3))
    width, height = (LONG, SHORT) if wide.get(image, 1) else (SHORT, LONG)
    width, height = max(width, right), max(height, low)
    if wide.get(image, 1):
        width = max(width, height + 1)
    else:
        height = max(height, width)
    index = record["ids"].index(image) if image in wide else -1
    name = f"train2017/{image:012d}.jpg"
    if 0 <= index < len(record["files"]):
        name = f"{Path(record['files'][index]).parent}/{image:012d}.jpg"
    return dict(
        id=image,
        width=width,
        height=height,
        coco_url=f"http://images.cocodataset.org/{name}",
        neg_category_ids=[],
        not_exhaustive_category_ids=[],
    )
