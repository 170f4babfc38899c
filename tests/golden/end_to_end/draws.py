"""Random numbers of the official transforms; orders and sizes that official loaders draw."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS, TRANSFORMS
from numpy.random import RandomState
from scipy.stats import ks_2samp

from tests.golden.end_to_end.data_under_test import Pipeline, candidates, data_node
from tests.golden.end_to_end.part import Part

SEEDS = 1000  # tried where a recording does not say which seed it was made with
CHAIN_SEEDS = (0, *range(1000, 10_000, 1000))  # what seeds of chains may add to those of one step
ROW_SEEDS = 10
# Of mean, deviation, boxes, their size in pixels, flip and channels; those are summed in float32.
ROW_ERRORS = np.array([1e-5, 1e-5, 1e-9, 1e-3, 1e-9, 1e-3, 1e-3, 1e-3])
LENGTH = r"^(?:\w+_)?len_b(\d+)$"  # name of a number of batches, with their size
EPOCHS = 5  # tried where a recording does not say which epoch it is of
CHANCE = 1e-3  # two samples of one distribution look less alike than this once in a thousand


def apply(
    chain: list, results: dict, seed: int, follows: float | None
) -> tuple[dict | None, float]:
    """Apply transforms with numpy's ``seed``; return the result and the number drawn next.

    Args:
        follows: the number that the official generator gave next. Where ours gives another one,
            and the transform takes its parameters from ``_random_flags`` (mmdet's color
            distortion draws them in another order), it is given those that the official order of
            draws makes of the seed, if ``follows`` proves that order.
    """
    before = copy.deepcopy(results)
    np.random.seed(seed)
    for step in chain:
        results = step(results)
        if results is None:
            return None, float("nan")
    after = float(np.random.rand())
    if after == follows or follows is None:
        return results, after
    if len(chain) == 1 and hasattr(chain[0], "_random_flags"):
        draw = RandomState(seed)
        flags = color_flags(draw, chain[0])
        if float(draw.rand()) == follows:
            step = copy.copy(chain[0])
            step._random_flags = lambda: flags
            return step(before), follows
    return results, after


def color_flags(draw: RandomState, step) -> tuple:
    """Return what mmdet's `_random_flags` returns, drawn value by value as they are needed.

    Brightness, then contrast before or after saturation and hue, then the order of the channels:
    a flag each, and its value only where the flag is set.
    """
    brightness = draw.randint(2)
    delta = draw.uniform(-step.brightness_delta, step.brightness_delta) if brightness else 0.0
    mode = draw.randint(2)
    contrast, alpha = 0, 1.0
    if mode == 1:
        contrast = draw.randint(2)
        alpha = draw.uniform(step.contrast_lower, step.contrast_upper) if contrast else 1.0
    saturation = draw.randint(2)
    factor = draw.uniform(step.saturation_lower, step.saturation_upper) if saturation else 1.0
    hue = draw.randint(2)
    turn = draw.uniform(-step.hue_delta, step.hue_delta) if hue else 0.0
    if mode == 0:
        contrast = draw.randint(2)
        alpha = draw.uniform(step.contrast_lower, step.contrast_upper) if contrast else 1.0
    swap = draw.randint(2)
    order = draw.permutation(3) if swap else np.arange(3)
    return (mode, brightness, contrast, saturation, hue, swap, delta, alpha, factor, turn, order)


def chain(record: dict[str, np.ndarray], pipeline: Pipeline) -> tuple[list, int]:
    """Return our transforms in a row that a recorded chain is of, and what its seeds add.

    A recording says neither which steps it has nor its seeds: those recorded alone, with or
    without the flip, or all; the first whose generator stands where the official one stood after
    the first image. Whether the images agree is still to be seen.
    """
    alone = {match[1] for name in record if (match := re.match(r"([A-Z]\w+)_0_0_shape", name))}
    kept = {id(pipeline.step(kind)) for kind in alone}
    steps = pipeline.transforms()
    first = [step for step in steps if id(step) in kept]
    flipped = [s for s in steps if id(s) in kept or type(s).__name__ == "RandomFlip"]
    loaded = pipeline.loaded(int(record["chosen"][0]))
    for row in (first, flipped, steps):
        for more in CHAIN_SEEDS:
            if apply(row, copy.deepcopy(loaded), more, None)[1] == record["chain_0_0_next"][0]:
                return row, more
    return first, CHAIN_SEEDS[0]


def compare_rows(part: Part, record: dict, entry: str, data: Path, work: Path) -> None:
    """Compare numbers of whole train images, drawn in a row over the data set.

    A row is mean and deviation of the normalized image, number and mean size of its boxes, flip,
    and the means of its channels. With the seed that gives the first official row all must agree;
    where no seed does, they are compared as two samples of one distribution.
    """
    official = record["whole_rows"]
    pipeline = Pipeline(entry, data, work)
    found = (s for s in range(ROW_SEEDS) if _row_error(_rows(pipeline, s, 1), official[:1]) <= 1)
    seed = next(found, None)
    rows = _rows(pipeline, seed or 0, len(official))
    part.measured["images"] = len(rows)
    if seed is not None:
        part.notes.append(f"compared with {entry}, seed {seed}")
        part.most("of what is allowed", _row_error(rows, official))
        wrong = [i for i in range(len(rows)) if _row_error(rows[i], official[i]) > 1]
        for i in wrong[:1]:
            part.problems.append(
                f"{len(wrong)} rows differ, first {i}: {rows[i].tolist()}, official "
                f"{official[i].tolist()}"
            )
        return
    part.notes.append(f"compared with {entry} as samples: no seed below {ROW_SEEDS} is official")
    for column in range(official.shape[1]):
        chance = float(ks_2samp(rows[:, column], official[:, column]).pvalue)
        part.measured["least chance"] = min(part.measured.get("least chance", 1.0), chance)
        part.expect(
            chance > CHANCE,
            f"column {column}: mean {rows[:, column].mean():.4g}, official "
            f"{official[:, column].mean():.4g}; equal distributions differ so by {chance:.1e}",
        )


def _row_error(ours: np.ndarray, official: np.ndarray) -> float:
    """Return the largest error, as a multiple of what is allowed."""
    return float((np.abs(ours - official) / ROW_ERRORS).max())


def _rows(pipeline: Pipeline, seed: int, count: int) -> np.ndarray:
    """Return the numbers of the first images that our train pipeline gives with numpy's seed."""
    preprocessor = pipeline.preprocessor()
    np.random.seed(seed)
    rows: list[list[float]] = []
    while len(rows) < count:
        row = copy.deepcopy(pipeline.rows[len(rows) % len(pipeline.rows)])
        packed = pipeline.dataset.pipeline(row)
        if packed is None:
            raise ValueError(f"image {pipeline.ids[len(rows)]} is dropped by our pipeline")
        sample = packed["data_samples"]
        batch = {"inputs": [packed["inputs"]], "data_samples": [sample]}
        image = preprocessor(batch, False)["inputs"][0].double()
        boxes = sample.gt_instances.bboxes.tensor.double()
        size = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=0).sqrt()
        numbers = [image.mean(), image.std(), len(boxes), size.mean(), sample.flip]
        channels = image.mean(dim=(1, 2)).tolist()
        rows.append([float(number) for number in numbers] + channels)
    return np.array(rows)


def compare_scales(part: Part, official: np.ndarray, stem: str) -> None:
    """Compare sizes drawn from a list, with the seed that gives the official draws."""
    sizes = {tuple(row) for row in official.tolist()}
    for entry, config in candidates(stem):
        for step in data_node(config, "train").pipeline:
            scales = [tuple(scale) for scale in step.get("scales", ())]
            if {tuple(sorted(scale, reverse=True)) for scale in scales} == sizes:
                part.notes.append(f"compared with {entry}")
                _sizes(part, TRANSFORMS.build(dict(step)), official)
                return
    part.problems.append(f"no entry draws from the sizes {sorted(sizes)}")


def _sizes(part: Part, step, official: np.ndarray) -> None:
    official = [tuple(row) for row in official.tolist()]
    for seed in range(SEEDS):
        np.random.seed(seed)
        if tuple(sorted(step._random_select()[0], reverse=True)) != official[0]:
            continue
        np.random.seed(seed)
        ours = [tuple(sorted(step._random_select()[0], reverse=True)) for _ in official]
        if ours == official:
            part.measured.update({"sizes": len(ours), "seed": seed})
            return
    part.problems.append(f"no seed below {SEEDS} gives the official sizes")


def compare_samplers(part: Part, record: dict, entry: str, data: Path, work: Path) -> None:
    """Compare the batches of an epoch: how many, of which images, each of one shape group.

    Which images share a batch is random, here and there by different generators; what a training
    depends on is compared: the number of batches, that all are full, that no image is left out,
    that wide and tall images are kept apart, and how many images come twice.
    """
    pipeline = Pipeline(entry, data, work)
    wide = np.array([row["width"] / row["height"] > 1 for row in pipeline.rows])
    count = 0
    for name in sorted(record):
        match = re.match(LENGTH, name)
        if not match:
            continue
        size, count = int(match[1]), count + 1
        batches = _batches(pipeline, size)
        part.equal(f"batches of {size}", len(batches), int(record[name][0]))
        short = sum(len(batch) < size for batch in batches)
        part.expect(not short, f"batches of {size}: {short} are not full, official all are")
        mixed = sum(len(set(wide[batch])) > 1 for batch in batches)
        part.expect(not mixed, f"batches of {size}: {mixed} mix wide and tall images")
        drawn = [index for batch in batches for index in batch]
        lost = len(pipeline.ids) - len(set(drawn))
        part.expect(not lost, f"batches of {size}: {lost} images are left out")
        order = record.get(
            name.replace("len_b", "sampler_b"), record.get(name.replace(f"len_b{size}", "sampler"))
        )
        if order is not None:
            part.equal(f"images of an epoch, batches of {size}", len(drawn), len(order))
            ours = [int(wide[drawn].sum()), int((~wide[drawn]).sum())]
            official = [int(wide[order].sum()), int((~wide[order]).sum())]
            part.equal(f"wide and tall images, batches of {size}", ours, official)
    part.measured["lengths"] = count
    part.expect(count > 0, "no length to compare")


def compare_ranks(
    part: Part, record: dict, prefix: str, entry: str, data: Path, work: Path
) -> None:
    """Compare the order in which several official processes took the images of one epoch."""
    pipeline = Pipeline(entry, data, work)
    names = [n for n in record if re.match(rf"^{prefix}dist_r\d+$", n)]
    world, size = len(names), pipeline.config.train_dataloader.batch_size
    part.notes.append(f"compared with {entry}, {world} processes of {size} images")
    part.measured["images"] = sum(len(record[name]) for name in names)
    tried = []
    for epoch in range(EPOCHS):
        ours = {
            name: [i for batch in _batches(pipeline, size, rank, world, epoch) for i in batch]
            for rank, name in enumerate(sorted(names))
        }
        if all(ours[name] == record[name].tolist() for name in names):
            part.measured["epoch"] = epoch
            return
        tried.append([len(order) for order in ours.values()])
    lengths = [len(record[name]) for name in sorted(names)]
    part.problems.append(
        f"no epoch below {EPOCHS} has the official order; images of each process: {tried[0]} here, "
        f"official {lengths}"
    )


def _batches(
    pipeline: Pipeline, size: int, rank: int = 0, world: int = 1, epoch: int = 0
) -> list[list[int]]:
    """Return the batches of an epoch as our data loader makes them, in one of the processes."""
    loader = pipeline.config.train_dataloader
    torch.manual_seed(0)
    np.random.seed(0)
    sampler = DATA_SAMPLERS.build(
        dict(loader.sampler), default_args=dict(dataset=pipeline.dataset, seed=0)
    )
    sampler.rank, sampler.world_size = rank, world
    sampler.set_epoch(epoch)
    settings = loader.get("batch_sampler")
    if settings is None:
        order = list(sampler)
        return [order[i : i + size] for i in range(0, len(order), size)]
    batches = DATA_SAMPLERS.build(
        dict(settings), default_args=dict(sampler=sampler, batch_size=size)
    )
    return [list(batch) for batch in batches]
