"""Small trainings on the digits set: the losses of the adapters against those of the libraries.

    rankdet prepare digits --out DATA
    python -m benchmarks.adapters DATA results/reference/adapters

Each family is trained with the library's own loss and with others at equal steps, from the same
random weights, on the same batches, with the same optimizer (AdamW, which does not depend on the
scale of a loss). Nothing was tuned for a loss. Runs that are in results.json are not repeated.
Needs torchvision and transformers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.adapters_models import BUILDERS, LOSSES, SIDE, detections, losses_of
from benchmarks.adapters_report import write_report
from rankdet.evaluation import evaluate
from rankdet.outputs import write_json

BATCH = 16
WARM_UP = 20
STEPS = {"retinanet": 350, "fcos": 350, "faster_rcnn": 100, "rt_detr": 150, "deformable_detr": 300}
RATE = {
    "retinanet": 3e-3,
    "fcos": 3e-3,
    "faster_rcnn": 3e-3,
    "rt_detr": 1e-3,
    "deformable_detr": 1e-3,
}
VALIDATION = 200  # images


def read(data: Path, split: str, count: int | None = None) -> tuple[list[Tensor], list[dict], dict]:
    """Images [3, SIDE, SIDE], their targets, and the annotations of the images that were read."""
    document = json.loads((data / "annotations" / f"{split}.json").read_text())
    document["images"] = document["images"][:count]
    known = {each["id"] for each in document["images"]}
    document["annotations"] = [
        each for each in document["annotations"] if each["image_id"] in known
    ]
    images, targets = [], []
    for image in document["images"]:
        own = [
            each
            for each in document["annotations"]
            if each["image_id"] == image["id"] and not each["iscrowd"]
        ]
        picture = Image.open(data / split / image["file_name"]).convert("RGB").resize((SIDE, SIDE))
        images.append(torch.from_numpy(np.asarray(picture)).permute(2, 0, 1).float() / 255)
        boxes = torch.tensor([each["bbox"] for each in own]).reshape(-1, 4) * (
            SIDE / image["width"]
        )
        boxes[:, 2:] += boxes[:, :2]
        labels = torch.tensor([each["category_id"] for each in own], dtype=torch.int64)
        targets.append({"boxes": boxes, "labels": labels})
    return images, targets, document


def rate(step: int, steps: int) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / steps)) / 2


def train(model: nn.Module, family: str, data: tuple, steps: int, seed: int) -> None:
    images, targets, _ = data
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE[family], weight_decay=1e-4)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE[family] * rate(step, steps)
        chosen = torch.randint(len(images), (BATCH,), generator=order).tolist()
        loss = losses_of(
            model, torch.stack([images[i] for i in chosen]), [targets[i] for i in chosen]
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()


@torch.no_grad()
def measure(model: nn.Module, data: tuple) -> dict[str, float]:
    images, _, document = data
    model.eval()
    rows: list[dict[str, Any]] = []
    for start in range(0, len(images), 20):
        found = detections(model, torch.stack(images[start : start + 20]))
        for image, each in zip(document["images"][start:], found, strict=False):
            scale = image["width"] / SIDE
            for box, score, label in zip(*(own.tolist() for own in each), strict=True):
                left, top, right, bottom = (scale * number for number in box)
                place = [left, top, right - left, bottom - top]
                rows.append(
                    {"image_id": image["id"], "category_id": label, "bbox": place, "score": score}
                )
    numbers = evaluate(document, rows).numbers
    return {name: 100 * numbers[name] for name in ("AP", "AP50", "oLRP")}


def run(family: str, loss: str, seed: int, steps: int, train_data: tuple, val: tuple) -> dict:
    torch.manual_seed(seed)
    model = LOSSES[loss](BUILDERS[family](), max(1, len(train_data[0]) // BATCH))
    start = time.process_time()
    train(model, family, train_data, steps, seed)
    seconds = time.process_time() - start
    return {
        "family": family, "loss": loss, "seed": seed, "steps": steps, "cpu_seconds": seconds,
        **measure(model, val),
    }  # fmt: skip


def machine() -> dict[str, str]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":")[1].strip()
            break
    else:
        processor = platform.processor()
    names = ("torch", "torchvision", "transformers", "numpy")
    return {
        "processor": f"{processor}, {os.cpu_count()} cores, one thread",
        **{name: version(name) for name in names},
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="digits set")
    parser.add_argument("out", type=Path, help="folder of results.json and README.md")
    parser.add_argument("--family", nargs="+", choices=BUILDERS, default=list(BUILDERS))
    parser.add_argument("--loss", nargs="+", choices=LOSSES, default=["library", "rank_sort"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="instead of the family's number")
    parser.add_argument("--most", type=int, help="end after so many trainings")
    told = parser.parse_args()
    torch.set_num_threads(1)
    path = told.out / "results.json"
    kept = json.loads(path.read_text()) if path.exists() else {"runs": []}
    data = None
    for family in told.family:
        steps = told.steps or STEPS[family]
        for seed in told.seeds:
            for loss in told.loss:
                name = {"family": family, "loss": loss, "seed": seed, "steps": steps}
                if any(name.items() <= each.items() for each in kept["runs"]):
                    continue
                data = data or (read(told.data, "train"), read(told.data, "val", VALIDATION))
                found = run(family, loss, seed, steps, *data)
                print(json.dumps(found), flush=True)
                kept["runs"].append(found)
                kept["machine"] = machine()
                told.out.mkdir(parents=True, exist_ok=True)
                write_json(path, kept)
                told.most = told.most and told.most - 1
                if told.most == 0:
                    return
    write_report(kept, told.out / "README.md")


if __name__ == "__main__":
    main()
