"""Intervals, comparison, TIDE and calibration on a real detector's output; time of the bootstrap.

``python -m benchmarks.evaluation_statistics ANNOTATIONS DETECTIONS`` writes statistics.md into
results/reference/evaluation. The second result is the first with noise on scores and boxes. The
bootstrap is timed on data of `benchmarks.evaluation_data` of the size of COCO val2017.
"""

from __future__ import annotations

import argparse
import platform
import resource
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import evaluation_data
from benchmarks.evaluation import processor
from rankdet.evaluation import (
    Bootstrap,
    Detections,
    GroundTruth,
    bootstrap,
    fixed_ap,
    read_detections,
    read_ground_truth,
    tide,
)
from rankdet.evaluation.calibration import (
    deployment_thresholds,
    divided,
    errors_of,
    lrp_at,
    optimal_thresholds,
)
from rankdet.evaluation.calibrators import METHODS, TARGETS, Settings, fit
from rankdet.evaluation.tide import KINDS
from rankdet.report import comparison

FOLDER = Path(__file__).parents[1] / "results/reference/evaluation"
ERRORS = ("D-ECE", "LaECE", "LaECE_0", "LaACE_0")


def perturbed(found: Detections, seed: int = 0) -> Detections:
    """Return detections with noise: 0.5 on the logit of a score, 4 % of its size on a box."""
    rng = np.random.default_rng(seed)
    score = np.clip(found.score, 1e-6, 1 - 1e-6)
    logit = np.log(score / (1 - score)) + rng.normal(0, 0.5, len(score))
    assert found.box is not None
    box = found.box + rng.normal(0, 0.04, found.box.shape) * found.box[:, [2, 3, 2, 3]]
    box[:, 2:] = np.maximum(box[:, 2:], 1)
    return Detections(found.image_id, found.category_id, 1 / (1 + np.exp(-logit)), box)


def timed(resamples: int) -> list[tuple[str, float]]:
    """Return CPU seconds of the bootstrap of one result and of two, reading included."""
    with tempfile.TemporaryDirectory() as place:
        evaluation_data.make(Path(place))
        paths = Path(place) / "annotations.json", Path(place) / "detections.json"
        rows = []
        for name, more in (("one result", ()), ("two results, paired", (paths[1],))):
            start = time.process_time()
            bootstrap(*paths, *more, resamples=resamples)
            rows.append((name, time.process_time() - start))
    return rows


def _interval_rows(found: Bootstrap) -> list[str]:
    lines = ["| number | A | B | B − A | interval |", "| --- | --- | --- | ---: | ---: |"]
    for row in comparison.overall(found):
        assert row.first and row.second and row.difference
        ends = [
            f"{100 * each.value:.1f} ({100 * each.low:.1f} to {100 * each.high:.1f})"
            for each in (row.first, row.second)
        ]
        each = row.difference
        span = f"{100 * each.low:+.1f} to {100 * each.high:+.1f}"
        lines.append(f"| {row.name} | {' | '.join(ends)} | {100 * each.value:+.1f} | {span} |")
    return lines


def calibrated(truth: GroundTruth, found: Detections, seeds: int) -> list[dict[str, Any]]:
    """Return the errors before and after, on random halves of the images, by method."""
    rows = []
    ids, names = truth.category_ids, truth.category_names
    for seed in range(seeds):
        fitted, tested = divided(truth, found, "bbox", len(truth.image_ids) // 2, seed)
        thresholds = deployment_thresholds(fitted)
        for target in TARGETS:
            for method in METHODS:
                own = fit(fitted, ids.tolist(), names, Settings(method, target), thresholds)
                after = tested.scored(lambda k, score, own=own: own.apply(ids[k], score))
                rows.append(
                    dict(
                        method=f"{method}, to {target}",
                        before=errors_of(tested),
                        after=errors_of(after),
                        lrp=lrp_at(tested, thresholds),
                        rare=lrp_at(tested, optimal_thresholds(fitted)),
                        best=lrp_at(tested, optimal_thresholds(tested)),
                    )
                )
    return rows


def _calibration_rows(rows: list[dict[str, Any]]) -> list[str]:
    def mean(some: list[dict[str, Any]], part: str) -> str:
        values = [100 * np.mean([row[part][name] for row in some]) for name in ERRORS]
        return " | ".join(f"{value:.1f}" for value in values)

    lines = [f"| map | {' | '.join(ERRORS)} |", "| --- | ---: | ---: | ---: | ---: |"]
    lines.append(f"| none | {mean(rows, 'before')} |")
    for method in dict.fromkeys(row["method"] for row in rows):
        some = [row for row in rows if row["method"] == method]
        lines.append(f"| {method} | {mean(some, 'after')} |")
    return lines


def page(annotations: Path, detections: Path, what: str, resamples: int) -> str:
    truth = read_ground_truth(annotations, "bbox")
    found = read_detections(detections, truth)
    both = bootstrap(truth, found, perturbed(found), resamples=resamples)
    errors, fixed = tide(truth, found), fixed_ap(truth, found)
    seeds = 5
    maps = calibrated(truth, found, seeds)
    at = {name: 100 * np.mean([row[name] for row in maps]) for name in ("lrp", "rare", "best")}
    seconds = timed(resamples)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [
        "# Intervals, comparison, error types and calibration",
        "",
        f"{date.today()}, {processor()}, one thread, Python {platform.python_version()}, numpy "
        f"{np.__version__}. {what} `python -m benchmarks.evaluation_statistics` writes this page. "
        "All numbers ×100.",
        "",
        "## Time",
        "",
        f"{resamples} resamples of 5000 images, 80 classes, 36000 annotations, 500000 detections "
        "(`benchmarks.evaluation_data`), corrected intervals: 100 groups of images left out and 20 "
        "halvings besides, reading and matching included; "
        f"peak memory of the process {peak:.0f} MiB.",
        "",
        "| bootstrap of | CPU s |",
        "| --- | ---: |",
        *(f"| {name} | {value:.1f} |" for name, value in seconds),
        "",
        "## Intervals and comparison",
        "",
        "A: the detector. B: the same with noise of 0.5 on the logit of each score and of 4 % of "
        f"its size on each box. {comparison.caption(both)}",
        "",
        *_interval_rows(both),
        "",
        *(comparison.chance(both, name) for name in ("AP", "oLRP")),
        "",
        "## TIDE",
        "",
        f"AP50 {100 * (errors.ap50 or 0):.1f}; the gain when an oracle fixes one kind of error, "
        "and its share of the sum of the six.",
        "",
        "| kind | errors | dAP50 | share |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {kind} | {errors.counts[kind]} | {100 * errors.gains[kind]:.1f} | "
            f"{errors.shares[kind]:.0%} |"
            for kind in KINDS
        ),
        *(
            f"| {kind} | {errors.counts[kind]} | {100 * errors.gains[kind]:.1f} | |"
            for kind in ("FP", "FN")
        ),
        "",
        "## Fixed AP and Pooled AP",
        "",
        "; ".join(f"{name} {100 * (value or 0):.1f}" for name, value in fixed.items()) + ".",
        "",
        "## Calibration",
        "",
        f"Mean over {seeds} random divisions of the images into halves: fitted on one, measured on "
        "the other. Most detections have scores near 0 and decide these errors.",
        "",
        *_calibration_rows(maps),
        "",
        f"LRP on the test half at the thresholds of the fit: {at['lrp']:.1f}, where classes with "
        f"fewer than 10 true positives share one; {at['rare']:.1f} with a threshold of its own for "
        f"every class; {at['best']:.1f} with the best ones of the test half (its oLRP).",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("detections", type=Path)
    parser.add_argument("--what", default="Boxes.", help="the detections, in a sentence")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    text = page(arguments.annotations, arguments.detections, arguments.what, arguments.resamples)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "statistics.md").write_text(text)
