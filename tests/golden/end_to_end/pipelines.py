"""Official train and test pipelines against ours: pixels, boxes, labels, masks, draws, samplers.

What a file holds is found by the names of its arrays:

- ``KIND_f0_I_*``, ``KIND_f1_I_*``: image I before Normalize, not flipped and flipped.
- ``TRANSFORM_I_S_*``: one transform on image I with numpy's seed 100 * I + S, and ``next``, the
  number that the generator gives after it; ``chain_I_S_*``: several transforms in a row.
- ``test_I_*``: what the network sees of a test image.
- ``whole_rows``: statistics of images after the whole train pipeline, to be compared as samples.
- ``*sampler*``, ``*dist_r*``, ``*len_b*``, ``*scales_*``: order of images and sizes drawn.
"""

from __future__ import annotations

import copy
import hashlib
import re
from pathlib import Path

import numpy as np
import torch

from tests.golden.end_to_end import draws
from tests.golden.end_to_end.cases import unpacked
from tests.golden.end_to_end.data_under_test import (
    Pipeline,
    candidates,
    data_node,
    found,
)
from tests.golden.end_to_end.part import Part, guarded, skipped

PIXEL = 1e-3  # of 255, where float images are resized
BOX = 1e-3  # pixels
TENSOR = 1e-5  # of the normalized image
EVERY = 16  # recorded pixels of uint8 images and of test tensors
KINDS = re.compile(r"^(\w+?)_f0_0_img_shape$")
ALONE = re.compile(r"^([A-Z]\w+)_(\d+)_(\d+)_shape$")


def replay_pipelines(path: Path, data: Path | None, work: Path) -> list[Part]:
    """Return the parts of one recorded file."""
    stem, case = path.stem.removeprefix("pipeline_"), path.stem
    with np.load(path) as archive:
        record = dict(archive)
    if data is None:
        return [skipped(case, "pipelines", "no real images, see --data")]
    parts = []

    def run(name: str, compare) -> None:
        parts.append(guarded(case, name, compare))

    for kind in [match[1] for name in record if (match := KINDS.match(name))]:
        entry = _entry(stem, f"{kind}_f0_0_masks" in record, set())
        if f"{kind}_dist_r0" in record:
            run(
                f"{kind} processes",
                lambda p, k=kind, e=entry: draws.compare_ranks(p, record, f"{k}_", e, data, work),
            )
        run(f"{kind} images", lambda p, k=kind, e=entry: _flipped(p, record, k, e, data, work))
        run(
            f"{kind} dataset",
            lambda p, k=kind, e=entry: _dataset(p, record, f"{k}_", e, data, work),
        )
    alone = {match[1] for name in record if (match := ALONE.match(name))}
    if alone:
        masked = any(name.endswith("_masks") for name in record)
        entry = _entry(stem, masked, alone, _side(record))
        for kind in sorted(alone):
            run(kind, lambda p, k=kind: _alone(p, record, k, entry, data, work))
        if "chain_0_0_shape" in record:
            run("chain", lambda p: _alone(p, record, "chain", entry, data, work))
        if "flags" in record or "ids" in record:
            run("dataset", lambda p: _dataset(p, record, "", entry, data, work))
        if "whole_rows" in record:
            run("whole pipeline", lambda p: draws.compare_rows(p, record, entry, data, work))
    else:
        entry = _entry(stem, any(name.endswith("_masks") for name in record), set())
    if any(name.startswith("test_0") for name in record):
        run("test", lambda p: _test(p, record, entry, data, work))
    if any(re.match(draws.LENGTH, name) for name in record):
        run("samplers", lambda p: draws.compare_samplers(p, record, entry, data, work))
    for name in sorted(record):
        if "scales_value" in name:
            run(name, lambda p, n=name: draws.compare_scales(p, record[n], stem))
        elif "scales_" in name:
            reason = "no entry draws its size from a range"
            parts.append(skipped(case, name, reason))
    if not parts:
        run("pipelines", lambda p: p.expect(False, f"nothing known among {sorted(record)[:5]}"))
    return parts


def _side(record: dict[str, np.ndarray]) -> int | None:
    return int(record["Resize_0_0_shape"][0]) if "Resize_0_0_shape" in record else None


def _entry(stem: str, masked: bool, transforms: set[str], side: int | None = None) -> str:
    """Return the entry whose train pipeline a recording is of.

    It is the first one of that name with (or without) masks, these transforms, and one size; if
    none has one size, the first with the transforms.
    """
    fitting = []
    for name, config in candidates(stem):
        steps = data_node(config, "train").pipeline
        types = {step.type.lower() for step in steps}
        with_mask = any(step.get("with_mask") for step in steps if "Annotations" in step.type)
        if with_mask != masked or ("lvis" in name) != ("lvis" in stem):
            continue
        if not all(any(kind.lower() in own for own in types) for kind in transforms):
            continue
        fitting.append(name)
        resize = next((step for step in steps if step.type == "Resize"), {})
        whole = side is None and resize.get("keep_ratio")
        if whole or (side is not None and side == resize.get("scale", (None,))[0]):
            return name
    if not fitting:
        raise LookupError(f"no entry like {stem!r} with the transforms {sorted(transforms)}")
    return fitting[0]


def _compare(
    part: Part, what: str, ours: dict[str, np.ndarray], record: dict[str, np.ndarray], prefix: str
) -> None:
    """Compare an image, its boxes, labels and masks with what is recorded under ``prefix``."""
    image = ours["img"]
    shape = record.get(f"{prefix}img_shape", record.get(f"{prefix}shape"))
    part.equal(f"{what}: shape", list(image.shape), shape.tolist())
    if list(image.shape) != shape.tolist():
        return
    if f"{prefix}img_sha256" in record:
        own = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        part.equal(f"{what}: sha256 of the pixels", own, str(record[f"{prefix}img_sha256"]))
        _pixels(part, what, image[::EVERY, ::EVERY], record[f"{prefix}img_every16"], 0.0)
    if f"{prefix}sub" in record:
        official = record[f"{prefix}sub"]
        stride = -(-image.shape[0] // official.shape[0])
        _pixels(part, what, image[::stride, ::stride], official, PIXEL)
    if f"{prefix}sum" in record:
        numbers = image.astype(np.float64)
        for power, official in enumerate(record[f"{prefix}sum"], 1):
            error = abs((numbers**power).sum() - official) / official
            part.most("sums", error)
            part.expect(error <= 1e-5, f"{what}: sum of pixels ** {power} off by {error:.1e}")
    for name in ("boxes", "ignored"):
        if f"{prefix}{name}" in record:
            _boxes(part, f"{what}: {name}", ours[name], record[f"{prefix}{name}"])
    part.equal(f"{what}: labels", ours["labels"].tolist(), record[f"{prefix}labels"].tolist())
    if f"{prefix}masks" in record:
        official = unpacked(record[f"{prefix}masks"], record[f"{prefix}masks_shape"])
        same = ours["masks"].shape == official.shape
        part.expect(same, f"{what}: masks of {ours['masks'].shape}, official {official.shape}")
        wrong = int((ours["masks"] != official).sum()) if same else 0
        part.most("mask pixels", wrong)
        part.expect(not wrong, f"{what}: {wrong} of {official.size} mask pixels differ")


def _pixels(part: Part, what: str, ours: np.ndarray, official: np.ndarray, allowed: float) -> None:
    if ours.shape != official.shape:
        part.problems.append(f"{what}: pixels of {ours.shape} here, official {official.shape}")
        return
    error = float(np.abs(ours.astype(np.float64) - official).max())
    part.most("pixels", error)
    part.expect(error <= allowed, f"{what}: pixels off by {error:.3g} of 255")


def _boxes(part: Part, what: str, ours: np.ndarray, official: np.ndarray) -> None:
    official = official.reshape(-1, 4)
    part.equal(f"{what}: count", len(ours), len(official))
    if len(ours) == len(official) and len(ours):
        error = float(np.abs(ours - official).max())
        part.most("boxes px", error)
        part.expect(error <= BOX, f"{what}: off by {error:.3g} px")


def _flipped(part: Part, record: dict, kind: str, entry: str, data: Path, work: Path) -> None:
    """Compare images before Normalize, with the flip forced off and on."""
    part.notes.append(f"compared with {entry}")
    pipeline = Pipeline(entry, data, work)
    steps = pipeline.transforms()
    for flip in (0, 1):
        for index, image_id in enumerate(record[f"{kind}_chosen"]):
            prefix = f"{kind}_f{flip}_{index}_"
            if f"{prefix}img_shape" not in record:
                continue
            results = pipeline.loaded(int(image_id))
            for step in steps:
                if type(step).__name__ == "RandomFlip":
                    step = copy.deepcopy(step)
                    step.prob = float(flip)
                results = step(results)
            what = f"image {image_id}, flip {flip}"
            _compare(part, what, found(results), record, prefix)
            _scale(part, what, results["scale_factor"], record[f"{prefix}scale_factor"])
    part.expect("pixels" in part.measured, "no image to compare")


def _scale(part: Part, what: str, ours, official: np.ndarray) -> None:
    error = float(np.abs(np.asarray(ours[:2], np.float64) - official[:2]).max())
    part.most("scale", error)
    part.expect(error <= 1e-6, f"{what}: scale factors {ours}, official {official[:2].tolist()}")


def _alone(part: Part, record: dict, kind: str, entry: str, data: Path, work: Path) -> None:
    """Compare one transform, or a chain, for every recorded image and seed."""
    part.notes.append(f"compared with {entry}")
    pipeline = Pipeline(entry, data, work)
    chain, more = [pipeline.step(kind)], 0
    if kind == "chain":
        chain, more = draws.chain(record, pipeline)
        names = ", ".join(type(step).__name__ for step in chain)
        part.notes.append(f"of {names}, seeds + {more}")
    if chain == [None]:
        names = ", ".join(type(step).__name__ for step in pipeline.transforms())
        part.problems.append(f"no transform like {kind} in the pipeline of {entry}: {names}")
        return
    count = 0
    for index, image_id in enumerate(record["chosen"]):
        loaded = pipeline.loaded(int(image_id))
        for seed in range(1000):
            prefix = f"{kind}_{index}_{seed}_"
            if f"{prefix}shape" not in record:
                break
            results = copy.deepcopy(loaded)
            number = 100 * index + seed + more
            follows = float(record[f"{prefix}next"][0]) if f"{prefix}next" in record else None
            results, after = draws.apply(chain, results, number, follows)
            if results is None:
                part.problems.append(f"image {image_id}, seed {number}: dropped here")
                continue
            if follows is not None and after != follows:
                part.problems.append(
                    f"image {image_id}, seed {number}: {after} is drawn next, official {follows}"
                )
            _compare(part, f"image {image_id}, seed {number}", found(results), record, prefix)
            count += 1
    part.measured["images"] = count
    part.expect(count > 0, "no image to compare")


def _dataset(part: Part, record: dict, prefix: str, entry: str, data: Path, work: Path) -> None:
    """Compare which images are trained on, their order, shape groups and classes."""
    pipeline = Pipeline(entry, data, work)
    part.measured["images"] = len(pipeline.ids)
    part.equal("images", pipeline.ids, record[f"{prefix}ids"].tolist())
    if f"{prefix}flags" in record:
        wide = [int(row["width"] / row["height"] > 1) for row in pipeline.rows]
        part.equal("wide images", wide, record[f"{prefix}flags"].tolist())
    if f"{prefix}classes" in record:
        classes = list(pipeline.dataset.metainfo["classes"])
        part.equal("classes", classes, [str(name) for name in record[f"{prefix}classes"]])
    if f"{prefix}cat_ids" in record:
        ids = list(pipeline.dataset.cat_ids)
        part.equal("category ids", ids, record[f"{prefix}cat_ids"].tolist())


def _test(part: Part, record: dict, entry: str, data: Path, work: Path) -> None:
    """Compare what the network sees of test images."""
    part.notes.append(f"compared with {entry}")
    pipeline = Pipeline(entry, data, work, "val")
    preprocessor = pipeline.preprocessor()
    bits = 0
    indices = sorted(int(name.split("_")[1]) for name in record if re.match(r"test_\d+_id$", name))
    for index in indices:
        prefix, image_id = f"test_{index}_", int(record[f"test_{index}_id"])
        packed = pipeline.dataset.pipeline(
            copy.deepcopy(pipeline.rows[pipeline.ids.index(image_id)])
        )
        batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
        with torch.no_grad():
            tensor = preprocessor(batch, False)["inputs"][0].numpy()
        meta = packed["data_samples"].metainfo
        what = f"test image {image_id}"
        whole = record.get(f"{prefix}tensor")
        shape = list(whole.shape if whole is not None else record[f"{prefix}tensor_shape"])
        part.equal(f"{what}: shape", list(tensor.shape), [int(side) for side in shape])
        if list(tensor.shape) != shape:
            continue
        ours = tensor if whole is not None else tensor[:, ::EVERY, ::EVERY]
        official = whole if whole is not None else record[f"{prefix}tensor_every16"]
        error = float(np.abs(ours - official).max())
        part.most("network input", error)
        part.expect(error <= TENSOR, f"{what}: network input off by {error:.1e}")
        if f"{prefix}tensor_sha256" in record:
            own = hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()
            bits += own == str(record[f"{prefix}tensor_sha256"])
        if f"{prefix}scale_factor" in record:
            _scale(part, what, meta["scale_factor"], record[f"{prefix}scale_factor"])
        if f"{prefix}img_shape" in record:
            official = record[f"{prefix}img_shape"].tolist()[:2]
            part.equal(f"{what}: image", list(meta["img_shape"][:2]), official)
    if any(name.endswith("tensor_sha256") for name in record):
        part.measured["bit-equal"] = f"{bits} of {len(indices)}"
