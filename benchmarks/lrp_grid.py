"""oLRP at every prefix of the detections against a grid of 101 scores, class by class.

``python -m benchmarks.lrp_grid ANNOTATIONS DETECTIONS`` writes lrp_grid.md and lrp_grid.csv into
results/reference/evaluation. An evaluator with a grid looks only at the detections with a score of
at least 0.00, 0.01, ..., 1.00: its lowest LRP is at or above the optimum, and moves when the scores
are rescaled, though their order stays.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from rankdet.evaluation import Detections, GroundTruth, read_detections, read_ground_truth
from rankdet.evaluation.evaluator import scored_matches
from rankdet.evaluation.lrp import SCORE_GRID, optimal_lrp

FOLDER = Path(__file__).parents[1] / "results/reference/evaluation"
SCALES = (1.0, 0.5, 0.1, 0.01)


@dataclass(frozen=True)
class Study:
    """oLRP per class with annotations [K], at every prefix and on the grid."""

    category_ids: np.ndarray
    annotations: np.ndarray
    exact: np.ndarray
    threshold: np.ndarray  # NaN without a true positive
    grid: np.ndarray
    grid_threshold: np.ndarray


def study(truth: GroundTruth, found: Detections, scale: float = 1.0) -> Study:
    """Compute both with all scores multiplied by ``scale``."""
    found = replace(found, score=found.score * scale)
    matches, gt_count = scored_matches(truth, found, "bbox", "auto", 100)
    lrp = optimal_lrp(matches, gt_count)
    present = np.flatnonzero(gt_count[:, 0])
    curve = lrp.curve[present]
    # Of equal values the highest score: the fewest detections, as at every prefix.
    best = curve.shape[1] - 1 - np.argmin(curve[:, ::-1], axis=1)
    grid_threshold = np.where(np.isnan(lrp.threshold[present, 0]), np.nan, SCORE_GRID[best])
    return Study(
        truth.category_ids[present],
        gt_count[present, 0],
        lrp.error[present, 0],
        lrp.threshold[present, 0],
        curve.min(axis=1),
        grid_threshold,
    )


def of_vernier(annotations: Path, detections: Path) -> dict[int, float] | None:
    """Return vernier's oLRP per category, or None if it is not installed."""
    try:
        from vernier.instance import Bbox, CocoDataset, optimal_lrp
    except ImportError:
        return None
    truth = CocoDataset.from_json(annotations.read_bytes())
    report = optimal_lrp(truth, detections.read_bytes(), iou=Bbox(), parity_mode="strict")
    return {row.category_id: row.olrp for row in report.per_class}


def page(
    studies: dict[float, Study], names: dict[int, str], vernier: dict[int, float] | None, what: str
) -> str:
    whole = studies[1.0]
    excess = whole.grid - whole.exact
    lines = [
        "# oLRP at every prefix and on a grid of scores",
        "",
        f"{date.today()}. {what}. `python -m benchmarks.lrp_grid` writes this page.",
        "",
        f"Mean over {len(excess)} classes: {whole.exact.mean():.6f} at every prefix, "
        f"{whole.grid.mean():.6f} on the grid 0.00, 0.01, ..., 1.00. The grid is above the optimum "
        f"in {int((excess > 0).sum())} classes, by at most {excess.max():.6f}"
        + (f" ({names[int(whole.category_ids[excess.argmax()])]})." if excess.max() else "."),
        "",
    ]
    if vernier is not None:
        own = np.array([vernier[int(each)] for each in whole.category_ids])
        lines += [
            f"vernier gives {own.mean():.6f}; class by class it differs from this grid by at most "
            f"{np.abs(own - whole.grid).max():.1g}.",
            "",
        ]
    lines += [
        "The order of the scores decides oLRP at every prefix, their values do not; a grid needs "
        "scores that fill it. All scores multiplied by one factor:",
        "",
        "| factor | every prefix | grid | classes above the optimum | largest excess |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for scale, each in studies.items():
        more = each.grid - each.exact
        lines.append(
            f"| {scale:g} | {each.exact.mean():.6f} | {each.grid.mean():.6f} | "
            f"{int((more > 0).sum())} of {len(more)} | {more.max():.6f} |"
        )
    lines += [
        "",
        "The classes where the grid is above the optimum; lrp_grid.csv has all:",
        "",
        "| class | annotations | every prefix | at score | grid | at score | excess |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows_of(whole, names):
        if row["excess"] > 0:
            lines.append(
                f"| {row['class']} | {row['annotations']} | {row['oLRP']:.6f} | "
                f"{row['threshold']:.4f} | {row['grid_oLRP']:.6f} | {row['grid_threshold']:.2f} | "
                f"{row['excess']:.6f} |"
            )
    return "\n".join(lines) + "\n"


def rows_of(study: Study, names: dict[int, str]) -> list[dict[str, Any]]:
    """Return one row per class, the largest excess first."""

    def number(value: float) -> float | None:
        return None if np.isnan(value) else round(float(value), 7)

    rows = [
        {
            "class": names[int(category)],
            "annotations": int(study.annotations[place]),
            "oLRP": float(study.exact[place]),
            "threshold": number(study.threshold[place]),
            "grid_oLRP": float(study.grid[place]),
            "grid_threshold": number(study.grid_threshold[place]),
            "excess": float(study.grid[place] - study.exact[place]),
        }
        for place, category in enumerate(study.category_ids)
    ]
    return sorted(rows, key=lambda row: -row["excess"])


def main(annotations: Path, detections: Path, what: str, folder: Path) -> None:
    truth, found = read_ground_truth(annotations, "bbox", "coco"), read_detections(detections)
    studies = {scale: study(truth, found, scale) for scale in SCALES}
    names = dict(zip(truth.category_ids.tolist(), truth.category_names, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    text = page(studies, names, of_vernier(annotations, detections), what)
    (folder / "lrp_grid.md").write_text(text)
    rows = rows_of(studies[1.0], names)
    with (folder / "lrp_grid.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("detections", type=Path)
    parser.add_argument("--what", default="Boxes", help="the detections, in words")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    main(arguments.annotations, arguments.detections, arguments.what, arguments.out)
