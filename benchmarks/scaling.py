"""Estimate the cost of the paper's rows, and their time on N nodes, from assumed step times.

    python -m benchmarks.scaling [--gpus-per-node 4] [--seconds-per-image-factor 1]

Nothing is measured here. Writes results/reference/scaling: one line per row, and the time of all
rows by number of nodes.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import io
from dataclasses import dataclass
from pathlib import Path

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.catalogue import Entry
from rankdet.outputs import write_text

TARGET = Path("results/reference/scaling")
IMAGES = {"coco": 117_266, "lvis": 100_170, "cityscapes": 2_975}

# ASSUMPTIONS. Seconds per training image and GPU with ResNet-50 at 800 pixels, 4 images a step:
# a quarter of the iteration times published by the authors of the bucketed losses
# (configs/published.csv), which take about as long as ours; the rest is estimated from these.
SECONDS = {
    "RetinaNet": (0.048, "as ATSS"),
    "ATSS": (0.048, "printed 0.19 s for 4 images"),
    "FoveaBox": (0.048, "as ATSS"),
    "PAA": (0.090, "printed 0.36 s"),
    "Faster R-CNN": (0.048, "printed 0.19 s"),
    "Cascade R-CNN": (0.073, "printed 0.29 s"),
    "Mask R-CNN": (0.073, "printed 0.29 s"),
    "YOLACT": (0.060, "estimated"),
    "SOLOv2-light": (0.040, "estimated, at its short side of 512"),
    "SOLOv2": (0.090, "estimated"),
}
BACKBONES = {"resnext": 3.0, "101": 1.6, "34": 1.0}  # ResNet-34 of SOLOv2-light is included above
SCALES = {"512x512": 0.35, "550x550": 0.40, "800x800": 0.75}  # against 1333x800
DEFORMABLE = 1.3
LVIS = 1.2  # 1203 classes: published 0.35 s, versus 0.29 s
# Fraction of the ideal speed on several GPUs of one node.
EFFICIENCY = {1: 1.0, 2: 0.95, 4: 0.90, 8: 0.85}
TEST_HOURS = 0.1  # 5000 images, and their evaluation


@dataclass(frozen=True)
class Cost:
    """One row.

    Attributes:
        entry: its id.
        seconds: per image and GPU.
        hours: GPU hours on one GPU, its test included.
        gpus: most GPUs without splitting its ranking pools.
    """

    entry: str
    seconds: float
    hours: float
    gpus: int


def main() -> None:
    """Write the table of rows and the one of nodes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus-per-node", type=int, default=4)
    parser.add_argument("--seconds-per-image-factor", type=float, default=1.0)
    options = parser.parse_args()
    entries = [entry for entry in load_catalogue() if entry.config_path.exists()]
    costs = [cost(entry, options.seconds_per_image_factor) for entry in entries]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["entry", "status", "seconds_per_image", "epochs", "gpu_hours", "most_gpus", "hours_then"]
    )
    for entry, each in zip(entries, costs, strict=True):
        hours, then = f"{each.hours:.1f}", f"{wall(each, each.gpus):.1f}"
        rows.writerow(
            [each.entry, entry.status, f"{each.seconds:.3f}", epochs(entry), hours, each.gpus, then]
        )
    write_text(TARGET / "rows.csv", text.getvalue())
    write_text(TARGET / "nodes.md", nodes_table(costs, options.gpus_per_node))
    print(f"{TARGET}: {len(costs)} rows, {sum(each.hours for each in costs):.0f} GPU hours")


def cost(entry: Entry, factor: float = 1.0) -> Cost:
    """Return what a row costs under the assumptions above."""
    kind = next(name for name in SECONDS if name.lower() in entry.detector.lower())
    seconds = SECONDS[kind][0] * factor * backbone_factor(entry)
    seconds *= SCALES.get(train_scale(entry), 1.0)
    seconds *= LVIS if entry.dataset == "lvis" else 1.0
    hours = seconds * epochs(entry) * IMAGES[entry.dataset] / 3600 + TEST_HOURS
    pool = entry.official.pool_images or 1
    most = (entry.official.total_batch or 4 * pool) // pool
    return Cost(entry.entry_id, seconds, hours, max(n for n in EFFICIENCY if n <= most))


def backbone_factor(entry: Entry) -> float:
    """Return the cost of the backbone relative to ResNet-50."""
    name = entry.backbone.lower()
    value = next((factor for key, factor in BACKBONES.items() if key in name), 1.0)
    deformable = "-DCN" in entry.backbone
    return value * (DEFORMABLE if deformable else 1.0)


def epochs(entry: Entry) -> int:
    """Return how often a training sees the data set; Cityscapes is repeated within an epoch."""
    files = entry.official.data.train
    repeats = (files.wrapper or {}).get("RepeatDataset", {}).get("times", 1)
    return int(entry.official.epochs * repeats)


def train_scale(entry: Entry) -> str:
    """Return the size of training images where it is one, such as 512x512."""
    sizes = [step.scale for step in entry.official.images.train if step.scale]
    return next(("{}x{}".format(*size) for size in sizes if isinstance(size[0], int)), "")


def wall(each: Cost, gpus: int) -> float:
    """Return the hours of a row on some GPUs."""
    return (each.hours - TEST_HOURS) / (gpus * EFFICIENCY[gpus]) + TEST_HOURS


def makespan(costs: list[Cost], gpus: int, each_gets: int) -> float:
    """Return the hours until all rows are done, the longest first, each on ``each_gets`` GPUs."""
    places = [0.0] * max(1, gpus // each_gets)
    for each in sorted(costs, key=lambda one: -wall(one, min(each_gets, one.gpus))):
        heapq.heapreplace(places, places[0] + wall(each, min(each_gets, each.gpus)))
    return max(places)


def nodes_table(costs: list[Cost], per_node: int) -> str:
    """Return the days of all rows over the number of nodes, for three ways to share GPUs out."""
    total = sum(each.hours for each in costs)
    lines = [f"All {len(costs)} rows, {total:.0f} GPU hours, {per_node} GPUs per node.", ""]
    lines += ["| nodes | GPUs | ideal, days | 1 GPU a row | 2 GPUs a row | 4 GPUs a row |"]
    lines += ["|---|---|---|---|---|---|"]
    for nodes in (1, 2, 4, 8, 16, 32, 64):
        gpus = nodes * per_node
        days = [makespan(costs, gpus, count) / 24 for count in (1, 2, 4) if count <= per_node]
        ideal = f"{total / gpus / 24:.1f}"
        lines += [f"| {nodes} | {gpus} | {ideal} | {' | '.join(f'{d:.1f}' for d in days)} |"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
