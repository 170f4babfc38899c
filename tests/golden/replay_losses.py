"""Replay stored official outputs of the losses: `python -m tests.golden.replay_losses DIR`.

DIR holds manifest.json, inputs.npz and one file per variant. Every case of every variant is run
from float64 and from float32 logits and compared with the official float64 numbers. Where the
official code has no output (it raises, or was not run), ours must be finite, and zero with a graph
if there is no positive. The manifest calls bucketed and truncated sums over tied logits a choice
of the sort; if such a case differs it is judged by finiteness and named, not counted as a miss.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tests.golden.losses_under_test import Outputs, run_variant
from tests.golden.place import use_device

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
NAMES = {torch.float64: "f64", torch.float32: "f32"}
# Below this a stored loss is rounding noise around an exact zero.
ZERO = 1e-15


@dataclass
class Result:
    """One case of one variant: the largest errors, or why it failed."""

    variant: str
    case: str
    problems: list[str]
    worst: float = 0.0
    is_by_choice: bool = False


class Archive:
    """A directory of stored outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.inputs = np.load(folder / "inputs.npz")

    def case_inputs(self, case: str) -> dict[str, np.ndarray]:
        keys = ("logits", "labels", "iou", "reg", "neg_sample")
        return {key: self.inputs[f"{case}/{key}"] for key in keys if f"{case}/{key}" in self.inputs}


def relative_error(ours: np.ndarray, stored: np.ndarray, scale: float, zero: float) -> float:
    """Largest difference, relative to ``scale``; infinite where shapes or finiteness differ."""
    if ours.shape != stored.shape or not np.isfinite(ours).all():
        return float("inf")
    if ours.size == 0:
        return 0.0
    difference = float(np.abs(ours - stored).max())
    return 0.0 if difference <= zero else difference / max(scale, zero)


def stats_of(gradient: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The six sums over all negatives that the archive keeps."""
    waves = np.cos(0.37 * (positions % 997)), np.sin(0.11 * (positions % 1013))
    if gradient.size == 0:
        return np.zeros(6)
    return np.array(
        [
            gradient.sum(),
            (gradient * waves[0]).sum(),
            (gradient * waves[1]).sum(),
            np.abs(gradient).sum(),
            np.sqrt((gradient**2).sum()),
            np.abs(gradient).max(),
        ]
    )


def errors_of(outputs: Outputs, stored: dict[str, np.ndarray], inputs, zero: float) -> dict:
    """Relative error of everything the archive holds for one case."""
    labels = inputs["labels"]
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    gradient = outputs.gradient
    ours = dict(outputs.values)
    ours["grad_pos"] = gradient[positive]
    ours["grad_neg"] = gradient[inputs.get("neg_sample", negative)]
    ours["neg_stats"] = stats_of(gradient[negative], negative)
    largest = max(
        (np.abs(stored[key]).max(initial=0.0) for key in ("grad_pos", "grad_neg")), default=0.0
    )
    errors = {}
    for key, expected in stored.items():
        if key == "order":  # an input here: the hard order among tied positives is a choice
            continue
        if key not in ours:
            errors[key] = float("inf")
        elif key in ("grad_pos", "grad_neg"):
            errors[key] = relative_error(ours[key], expected, float(largest), zero)
        elif key == "neg_stats":
            scale = np.array([expected[3]] * 4 + [expected[4], expected[5]])
            scaled = np.divide(ours[key] - expected, np.maximum(scale, zero))
            errors[key] = float(np.abs(np.where(scale <= zero, 0.0, scaled)).max())
        else:
            scale = float(np.abs(expected).max(initial=0.0))
            errors[key] = relative_error(np.asarray(ours[key]), expected, scale, zero)
    ignored = gradient[labels == -1]
    errors["gradient of ignored entries"] = float(np.abs(ignored).max(initial=0.0) > 0)
    return errors


def is_choice_of_sort(variant: str, parameters: dict, inputs: dict[str, np.ndarray]) -> bool:
    """Whether equal logits leave the official result to the order in which a sort puts them."""
    logits, labels = inputs["logits"], inputs["labels"]
    entering = logits[labels >= 0]
    if variant.startswith("bucketed"):
        positive = logits[labels == 1]
        return bool(np.isin(entering, positive).sum() > np.unique(positive).size)
    limit = int(parameters.get("num_topk", entering.size))
    if limit >= entering.size:
        return False
    last = np.sort(entering)[-limit]
    return int((entering >= last).sum()) > limit


def undefined_problems(outputs: Outputs, labels: np.ndarray) -> list[str]:
    """What is wrong where the official code gives nothing: values must be finite."""
    problems = [k for k, value in outputs.values.items() if not np.isfinite(value).all()]
    if not np.isfinite(outputs.gradient).all():
        problems.append("gradient not finite")
    if not (labels == 1).any():
        problems += [f"{k} not zero" for k, v in outputs.values.items() if np.any(v != 0)]
        if np.any(outputs.gradient != 0):
            problems.append("gradient not zero without positives")
    return problems


def replay_case(archive: Archive, variant: str, case: str, stored_file) -> Result:
    """Run one case in both precisions and compare."""
    description = archive.manifest["variants"][variant]
    result = Result(variant, case, [])
    inputs = archive.case_inputs(case)
    prefix = f"{case}/f64/"
    stored = {k[len(prefix) :]: stored_file[k] for k in stored_file if k.startswith(prefix)}
    for dtype, tolerance in TOLERANCE.items():
        outputs = run_variant(variant, description["parameters"], inputs, dtype, stored)
        if description["cases"][case]["status"] != "ok":
            problems = undefined_problems(outputs, inputs["labels"])
            result.problems += [f"{NAMES[dtype]}: {problem}" for problem in problems]
            continue
        for key, error in errors_of(outputs, stored, inputs, ZERO).items():
            result.worst = max(result.worst, error / tolerance)
            if not error <= tolerance:
                result.problems.append(f"{NAMES[dtype]} {key}: {error:.2e} > {tolerance:g}")
        if result.problems and is_choice_of_sort(variant, description["parameters"], inputs):
            result.is_by_choice = True
            result.problems = undefined_problems(outputs, inputs["labels"])
    return result


def replay(folder: Path, only: str = "") -> Iterator[Result]:
    """All cases of all variants (whose name starts with ``only``) of one directory."""
    archive = Archive(folder)
    for variant, description in archive.manifest["variants"].items():
        if only and not variant.startswith(only):
            continue
        with np.load(folder / description["file"]) as stored_file:
            for case in description["cases"]:
                yield replay_case(archive, variant, case, stored_file)


def main(arguments: list[str] | None = None) -> int:
    """Print each miss and the count; 1 if anything misses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="directory with manifest.json")
    parser.add_argument("--variant", default="", help="only variants whose name starts with this")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--verbose", action="store_true", help="print each case with its error")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    use_device(options.device)
    if not (options.folder / "manifest.json").is_file():
        print(f"expected a directory with manifest.json; got {options.folder}; check the path")
        return 2
    results = list(replay(options.folder, options.variant))
    for result in results:
        name = f"{result.variant} {result.case}"
        if options.verbose:
            print(f"{name}: worst error {result.worst:.1e} of the tolerance")
        for problem in result.problems:
            print(f"MISS {name}: {problem}")
    chosen = [f"{each.variant} {each.case}" for each in results if each.is_by_choice]
    if chosen:
        print(f"left to the order of equal logits, only checked to be finite: {', '.join(chosen)}")
    agreeing = sum(not result.problems for result in results)
    print(f"{agreeing} of {len(results)} agree")
    return 0 if results and agreeing == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
