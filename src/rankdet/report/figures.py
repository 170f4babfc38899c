"""All figures of a preset, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from rankdet.catalogue import Catalogue
from rankdet.catalogue.presets import Preset
from rankdet.report.bars import metric_bars
from rankdet.report.canvas import write_figure
from rankdet.report.compare import why_not_comparable
from rankdet.report.quality_curves import lrp_curves, precision_recall_curves
from rankdet.report.results import Result
from rankdet.report.training_curves import training_curves

# File name -> what it shows, in the order of the report.
FIGURES = {
    "ap": "Average precision of every entry, by detector; one color per loss.",
    "olrp": "Optimal LRP error of every entry: localization, false positives and misses in one "
    "number, lower is better.",
    "training": "Training loss (running mean) and validation metrics by iteration, one column per "
    "loss family, one dash pattern per detector. Validation during training may use a part of the "
    "validation set; the final values are in the tables.",
    "precision_recall": "Precision by recall, mean over classes; the legends give AP.",
    "lrp": "LRP error if detections below one common score threshold are dropped. The dot is the "
    "lowest point; oLRP is at or below it, since it uses the best threshold of each class.",
}


def draw_figures(
    catalogue: Catalogue, results: Mapping[str, Result], preset: Preset
) -> dict[str, Figure]:
    """Return every figure of `FIGURES`; a figure without data shows a message."""
    rows = list(results.values())
    return {
        "ap": metric_bars(rows, "AP", preset, _published(catalogue, rows, "AP", preset)),
        "olrp": metric_bars(rows, "oLRP", preset, _published(catalogue, rows, "oLRP", preset)),
        "training": training_curves(rows, preset),
        "precision_recall": precision_recall_curves(rows, preset),
        "lrp": lrp_curves(rows, preset),
    }


def write_figures(figures: Mapping[str, Figure], folder: str | Path) -> list[Path]:
    """Write each figure as SVG and PNG; return the paths."""
    return [path for name, figure in figures.items() for path in write_figure(figure, folder, name)]


def _published(
    catalogue: Catalogue, results: list[Result], metric: str, preset: Preset
) -> dict[str, float] | None:
    """Return the published values of the comparable rows, to mark on the bars."""
    if not preset.is_comparable:
        return None
    return {
        result.entry.entry_id: value.value
        for result in results
        if not why_not_comparable(result, preset)
        for value in catalogue.published(result.entry.entry_id)
        if value.is_official
        and value.value is not None
        and (value.iou_type, value.metric) == (result.main_iou_type, metric)
        and "test" not in value.split
    }
