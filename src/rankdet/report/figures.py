"""All figures of a preset by name, and the bars of AP and oLRP by detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue import Catalogue
from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import INK, SOFT, empty, headline, styled, write_figure
from rankdet.report.curves import lrp_curves, precision_recall_curves, training_curves
from rankdet.report.names import detector_group, family_rank, loss_color, loss_family
from rankdet.report.results import Result
from rankdet.report.verdicts import why_not_comparable

BAR = 0.36  # inches from one bar to the next
GAP = 0.8  # of a bar, between two detectors


@styled
def metric_bars(
    results: Sequence[Result],
    metric: str,
    preset: Preset,
    published: dict[str, float] | None = None,
) -> Figure:
    """Return horizontal bars of ``metric`` in percent, one per entry.

    Args:
        results: the measured results.
        metric: a key of ``metrics.json``, such as AP or oLRP.
        preset: the preset of the results.
        published: values by entry id to mark on the bars; only for preset paper.
    """
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda each: family_rank(loss_family(each.entry))):
        groups.setdefault(detector_group(result.entry), []).append(result)
    order = list(dict.fromkeys(detector_group(result.entry) for result in results))
    groups = dict(sorted(groups.items(), key=lambda item: order.index(item[0])))
    slots = len(results) + GAP * len(groups)
    figure = Figure(figsize=(7.6, 0.72 + BAR * max(slots, 3)))
    axes = figure.subplots()
    better = "lower is better" if metric.startswith("oLRP") else "higher is better"
    headline(figure, f"{metric} on the validation set", preset.caption)
    if not results:
        empty(axes, "no results yet")
        return figure
    published = published or {}
    ends = [result.metric(result.main_iou_type, metric) or 0 for result in results]
    right = min(100, 1.14 * max(*ends, *published.values(), 1))
    place, ticks, names = 0.0, [], []
    for group, members in groups.items():
        axes.text(0, place, f" {group}", weight="bold", va="center", fontsize=9)
        place += GAP
        for result in members:
            _bar(axes, place, result, metric, published.get(result.entry.entry_id), right)
            ticks.append(place)
            kind = " (masks)" if result.main_iou_type == "segm" else ""
            names.append(f"{loss_family(result.entry)}{kind}")
            place += 1
    axes.set_yticks(ticks, names, color=INK, fontsize=8.5)
    for label in axes.get_yticklabels():
        label.set_verticalalignment("bottom")
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_ylim(place - 0.3, -0.7)
    axes.set_xlim(0, right)
    mark_words = "; the mark is the published value" if published else ""
    axes.set_xlabel(f"{metric} ×100, {better}{mark_words}")
    axes.spines["left"].set_visible(False)
    return figure


def _bar(
    axes: Axes, place: float, result: Result, metric: str, mark: float | None, right: float
) -> None:
    """Draw one bar with its id on the left, its value on the right and the published mark."""
    value = result.metric(result.main_iou_type, metric)
    end = value or 0
    axes.barh(place, end, height=0.72, color=loss_color(loss_family(result.entry)))
    if mark is not None:
        axes.plot([mark, mark], [place - 0.42, place + 0.42], color=INK, linewidth=1.4)
        if 0 <= mark - end < 0.08 * right:  # the value would stand on the mark
            end = mark
    words = "—" if value is None else f"{value:.1f}"
    axes.annotate(words, (end, place), (4, 0), textcoords="offset points", va="center")
    axes.annotate(
        *(result.entry.entry_id, (0, place), (-3.5, -5)),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=6.5,
        color=SOFT,
    )


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
