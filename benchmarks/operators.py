"""Time rankdet's operators beside compiled mmcv's, on one thread of a CPU.

`OMP_NUM_THREADS=1 python -m benchmarks.operators` writes
results/reference/operators/bench.{csv,md} and fails if an operator takes more than 1.1 times what
compiled mmcv takes, and 0.2 ms more. It needs compiled mmcv (make env OPS=mmcv); torchvision's
kernels are measured as well if torchvision is installed. Times are CPU seconds, the least of
rounds in which the implementations alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import mmcv._ext
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch import Tensor

from benchmarks import training_step
from benchmarks.evaluation import processor
from rankdet.errors import InputError
from rankdet.ops.extension import functions_of
from rankdet.outputs import atomic_path, write_text

FOLDER = Path(__file__).parents[1] / "results/reference/operators"
GOAL = 1.1
DIGITS = 10  # classes of the demo's data
SETTINGS = dict(aligned_height=7, aligned_width=7, spatial_scale=0.25, sampling_ratio=0)
Run = Callable[[], object]


def boxes_of(count: int, side: float, least: float, most: float) -> Tensor:
    centers, sizes = torch.rand(count, 2) * side, torch.rand(count, 2) * (most - least) + least
    return torch.cat((centers - sizes / 2, centers + sizes / 2), 1)


def nms(functions: SimpleNamespace, count: int, classes: int, threshold: float) -> Run:
    boxes, scores = boxes_of(count, 800, 10, 200), torch.rand(count)
    boxes = boxes + torch.randint(classes, (count, 1)) * 1000  # as batched NMS moves them
    return lambda: functions.nms(boxes, scores, iou_threshold=threshold, offset=0)


def roi_align(functions: SimpleNamespace) -> Run:
    features, grads = torch.randn(2, 256, 100, 152), torch.randn(512, 256, 7, 7)
    rois = torch.cat((torch.randint(2, (512, 1)), boxes_of(512, 600, 20, 112)), 1)
    none = torch.empty(0)

    def run() -> None:
        output, of_features = torch.zeros_like(grads), torch.zeros_like(features)
        settings = dict(SETTINGS, pool_mode=1, aligned=True)
        functions.roi_align_forward(features, rois, output, none, none, **settings)
        functions.roi_align_backward(grads, rois, none, none, of_features, **settings)

    return run


def mask_targets(functions: SimpleNamespace) -> Run:
    masks = (torch.rand(64, 1, 800, 1333) > 0.5).float()
    rois = torch.cat((torch.arange(64.0)[:, None], boxes_of(64, 700, 20, 400)), 1)
    none = torch.empty(0)
    settings = dict(aligned_height=28, aligned_width=28, spatial_scale=1.0, sampling_ratio=0)
    return lambda: functions.roi_align_forward(
        masks, rois, torch.zeros(64, 1, 28, 28), none, none, pool_mode=1, aligned=True, **settings
    )


def deform_conv(functions: SimpleNamespace, groups: int, deform_groups: int) -> Run:
    features, grads = torch.randn(1, 256, 50, 84), torch.randn(1, 256, 50, 84)
    weight, bias, none = torch.randn(256, 256 // groups, 3, 3) / 50, torch.empty(0), torch.empty(0)
    offset, mask = (
        torch.randn(1, 18 * deform_groups, 50, 84),
        torch.rand(1, 9 * deform_groups, 50, 84),
    )
    sides = ("stride", 1), ("pad", 1), ("dilation", 1), ("kernel", 3)
    settings = {f"{name}_{axis}": value for name, value in sides for axis in "hw"}
    settings |= dict(group=groups, deformable_group=deform_groups, with_bias=False)

    def run() -> None:
        output = torch.empty_like(grads)
        functions.modulated_deform_conv_forward(
            features, weight, bias, none, offset, mask, output, none, **settings
        )
        found = [torch.zeros_like(each) for each in (features, weight, bias, offset, mask)]
        functions.modulated_deform_conv_backward(
            features, weight, bias, none, offset, mask, none, *found, grads, **settings
        )

    return run


def focal_loss(functions: SimpleNamespace) -> Run:
    logits, targets = torch.randn(20_000, 80), torch.randint(81, (20_000,))
    none = torch.empty(0)

    def run() -> None:
        for function in ("sigmoid_focal_loss_forward", "sigmoid_focal_loss_backward"):
            result = torch.zeros_like(logits)
            getattr(functions, function)(logits, targets, none, result, gamma=2.0, alpha=0.25)

    def as_mmdet() -> None:
        leaf = logits.clone().requires_grad_()
        one_hot = torch.nn.functional.one_hot(targets, 81)[:, :80]
        py_sigmoid_focal_loss(leaf, one_hot, reduction="sum").backward()

    # mmcv has no kernel for the CPU; there mmdet computes the loss in Python.
    return as_mmdet if functions.name == "compiled" else run


@contextlib.contextmanager
def in_mmcv(functions: SimpleNamespace) -> Iterator[None]:
    """Let mmcv's Python code call ``functions``."""
    users = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("mmcv.ops.") and hasattr(module, "ext_module")
    ]
    before = [module.ext_module for module in users]
    for module in users:
        module.ext_module = functions
    try:
        yield
    finally:
        for module, extension in zip(users, before, strict=True):
            module.ext_module = extension


def demo_step(functions: SimpleNamespace, entry: str) -> Run:
    """Forward and backward of a row's small network, 16 images."""
    model = training_step.model_of(entry, 16, DIGITS)

    def run() -> None:
        with in_mmcv(functions):
            model.zero_grad()
            training_step.step(model, slice(0, 16))

    return run


def demo_test(functions: SimpleNamespace, entry: str) -> Run:
    """Detections of a row's small network in 10 images, at the demo's low score threshold."""
    model = training_step.model_of(entry, 16, DIGITS).eval()
    images, samples = training_step.batch(slice(0, 10), False)

    def run() -> None:
        with in_mmcv(functions), torch.no_grad():
            model(images, samples, mode="predict")

    return run


PROBLEMS: dict[str, Callable[[SimpleNamespace], Run]] = {
    "NMS, 4000 boxes, threshold 0.5": lambda each: nms(each, 4000, 1, 0.5),
    "NMS, 4000 boxes, threshold 0.7": lambda each: nms(each, 4000, 1, 0.7),
    "NMS, 4000 boxes of 80 classes, threshold 0.5": lambda each: nms(each, 4000, 80, 0.5),
    "NMS, 1000 boxes of 80 classes, threshold 0.5": lambda each: nms(each, 1000, 80, 0.5),
    "NMS, 200 boxes, threshold 0.5": lambda each: nms(each, 200, 1, 0.5),
    "RoIAlign, 512 RoIs x 256 x 7 x 7, forward and backward": roi_align,
    "RoIAlign, 64 masks of 800 x 1333 to 28 x 28": mask_targets,
    "DCNv2, 256 x 50 x 84, 4 deformable groups, forward and backward":
        lambda each: deform_conv(each, 1, 4),
    "DCNv2, the same with 64 groups of channels": lambda each: deform_conv(each, 64, 4),
    "sigmoid focal loss, 20000 x 80, forward and backward (mmdet's Python version)": focal_loss,
    "training step of the demo, RS-ATSS": lambda each: demo_step(each, "rs_atss_r50"),
    "training step of the demo, RS-R-CNN": lambda each: demo_step(each, "rs_frcnn_r50"),
    "test of 10 images of the demo, RS-ATSS": lambda each: demo_test(each, "rs_atss_r50"),
    "test of 10 images of the demo, RS-R-CNN": lambda each: demo_test(each, "rs_frcnn_r50"),
}  # fmt: skip


def contestants() -> Iterator[SimpleNamespace]:
    names = [name for name in dir(mmcv._ext) if not name.startswith("_")]
    yield SimpleNamespace(name="compiled", **{name: getattr(mmcv._ext, name) for name in names})
    for backend in ("plain", "torchvision"):
        with contextlib.suppress(InputError):  # no torchvision
            yield SimpleNamespace(name=backend, **functions_of(backend))


def measure(problem: Callable[[SimpleNamespace], Run], rounds: int) -> dict[str, float]:
    """Milliseconds by implementation."""
    runs = {}
    for each in contestants():
        torch.manual_seed(0)
        runs[each.name] = problem(each)
        runs[each.name]()  # warm up
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.thread_time()
            run()
            least[name] = min(least[name], 1000 * (time.thread_time() - start))
    return least


def table(rows: list[dict]) -> list[str]:
    names = [name for name in rows[0] if name != "operator"]
    others = [name for name in names if name != "compiled"]
    titles = ["operator", *(f"{name}, ms" for name in names)]
    titles += [f"{name} / compiled" for name in others]
    lines = [" | ".join(titles), " | ".join(["---"] + ["---:"] * (len(titles) - 1))]
    for row in rows:
        cells = [row["operator"], *(f"{row[name]:.2f}" for name in names)]
        cells += [f"{row[name] / row['compiled']:.2f}" for name in others]
        lines.append(" | ".join(cells))
    return [f"| {line} |" for line in lines]


def write(folder: Path, rows: list[dict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "bench.csv") as path, path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "mmcv"))
    page = [
        "# Operators without a compiler beside compiled mmcv",
        "",
        f"{date.today()}, {processor()}, one thread, Python {platform.python_version()}, "
        f"{packages}. "
        "CPU time, least of the rounds, in which the implementations alternate. "
        "`python -m benchmarks.operators` writes this page.",
        "",
        *table(rows),
    ]
    write_text(folder / "bench.md", "\n".join(page) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the report")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, problem in PROBLEMS.items():
        rows.append({"operator": name} | measure(problem, options.rounds))
        print(rows[-1], flush=True)
    write(options.out, rows)
    print(*table(rows), sep="\n")
    # Below a millisecond most is the time of Python's calls, a tenth of a millisecond or two.
    missed = [
        row for row in rows if row["plain"] > max(GOAL * row["compiled"], row["compiled"] + 0.2)
    ]
    for row in missed:
        print(f"goal missed: {row['operator']}: {row['plain'] / row['compiled']:.2f}, goal {GOAL}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
