"""Curves of a detector (precision, LRP error) and of its training (loss, AP, oLRP, loss terms)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue import Entry
from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import labels, strokes, styled
from rankdet.report.captions import FIGURES
from rankdet.report.layout import NARROW, WIDE, Block, Grid, Key, Panel, blocks_figure
from rankdet.report.names import detector_group, family_rank, loss_color, loss_family, short
from rankdet.report.results import PANELS, Result

THRESHOLDS = {"0.50": "IoU 0.50", "0.75": "IoU 0.75", "mean": "mean over IoU 0.50 to 0.95"}
METRIC_OF = {"0.50": "AP50", "0.75": "AP75", "mean": "AP"}
NO_CURVES = "no curves yet"
NO_TRAINING = "no training record yet"
NO_TERMS = "no loss terms yet"
Lines = dict[str, dict[str, Any]]  # properties by entry id


def grouped(results: Sequence[Result], key: str) -> dict[str, list[Result]]:
    """Return the entries whose curves have ``key``, by detector, in the order of the legends."""
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda each: family_rank(loss_family(each.entry))):
        if result.curves().get(key) is not None:  # missing if the set has no annotations
            groups.setdefault(detector_group(result.entry), []).append(result)
    order = list(dict.fromkeys(detector_group(result.entry) for result in results))
    return dict(sorted(groups.items(), key=lambda item: order.index(item[0])))


def _points(result: Result, x: str, y: str, part: str | None = None) -> tuple[np.ndarray, ...]:
    curves = result.curves()
    values = curves[y] if part is None else curves[y].get(part, [])
    # The file was checked for equal lengths; a missing threshold has no points.
    horizontal = curves[x] if values else []
    return np.array(horizontal, float), np.array(values, float)


def caption(results: Sequence[Result], key: str, preset: Preset) -> str:
    """Return the subtitle; it names entries without curves, whose data set has no annotations."""
    without = [each.entry.entry_id for each in results if each.curves().get(key) is None]
    if not without or len(without) == len(results):
        return preset.caption
    return f"{preset.caption} Without curves: {', '.join(without)}."


def lines_of(members: Iterable[Result]) -> Lines:
    """Return color and stroke by entry id; lines of one color have different dashes."""
    colors: dict[str, list[Entry]] = {}
    for result in members:
        colors.setdefault(loss_color(loss_family(result.entry)), []).append(result.entry)
    return {
        entry_id: {"color": color, **stroke}
        for color, entries in colors.items()
        for entry_id, stroke in strokes(entries, lambda entry: entry.entry_id).items()
    }


def by_loss(members: Sequence[Result], values: Mapping[str, str] | None = None) -> list[Key]:
    """Return a legend of the entries of one detector: the loss, and what is said of each."""
    names, lines = labels(result.entry for result in members), lines_of(members)
    ids = [result.entry.entry_id for result in members]
    return [(f"{names[each]}{(values or {}).get(each, '')}", lines[each]) for each in ids]


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.1f}"


@styled
def precision_recall_curves(
    results: Sequence[Result], preset: Preset, narrow: bool = False
) -> Figure:
    """Return precision over recall, mean over classes: a row per detector, a column per IoU."""
    blocks = []
    for group, members in grouped(results, "precision").items():
        values = {
            result.entry.entry_id: ("\n" if narrow else ": ")
            + ", ".join(
                f"{metric} {_number(result.metric(result.main_iou_type, metric))}"
                for metric in METRIC_OF.values()
            )
            for result in members
        }
        panels = [
            Panel(words, "recall", "precision", _precision(members, threshold))
            for threshold, words in THRESHOLDS.items()
        ]
        blocks.append(Block(group, panels, by_loss(members, values)))
    grid = Grid(NARROW, 1, 1, 1.7) if narrow else Grid(WIDE, 1, 3, 2.15)
    subtitle = caption(results, "precision", preset)
    return blocks_figure(FIGURES["precision_recall"].title, subtitle, blocks, grid, NO_CURVES)


def _precision(members: Sequence[Result], threshold: str) -> Any:
    lines = lines_of(members)

    def draw(axes: Axes) -> None:
        for result in members:
            points = _points(result, "recall", "precision", threshold)
            axes.plot(*points, **lines[result.entry.entry_id])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)

    return draw


@styled
def lrp_curves(results: Sequence[Result], preset: Preset, narrow: bool = False) -> Figure:
    """Return the LRP error over one score threshold common to all classes; a panel per detector.

    The dot is the lowest point of the curve. oLRP is at or below it, since it uses the best
    threshold of each class.
    """
    groups = grouped(results, "LRP")
    lowest = min((lowest_lrp(each)[1] for some in groups.values() for each in some), default=0.0)
    bottom = 5 * np.floor(20 * lowest - 0.5)
    blocks = [
        Block(
            group,
            [Panel("", "score threshold", "LRP ×100", _lrp(members, bottom))],
            by_loss(members),
        )
        for group, members in groups.items()
    ]
    grid = Grid(NARROW, 1, 1, 2.0) if narrow else Grid(WIDE, 3, 1, 2.3)
    subtitle = caption(results, "LRP", preset)
    return blocks_figure(FIGURES["lrp"].title, subtitle, blocks, grid, NO_CURVES)


def lowest_lrp(result: Result) -> tuple[float, float]:
    """Return the score threshold of the lowest point of the LRP curve, and its error in [0, 1]."""
    scores, errors = _points(result, "score", "LRP")
    best = int(np.argmin(errors)) if errors.size else 0
    return (float(scores[best]), float(errors[best])) if errors.size else (0.0, 1.0)


def _lrp(members: Sequence[Result], bottom: float) -> Any:
    lines = lines_of(members)

    def draw(axes: Axes) -> None:
        for result in members:
            scores, errors = _points(result, "score", "LRP")
            line = lines[result.entry.entry_id]
            axes.plot(scores, 100 * errors, **line)
            if errors.size:
                best, error = lowest_lrp(result)
                axes.plot(best, 100 * error, "o", color=line["color"], markersize=4)
        axes.set_xlim(0, 1)
        axes.set_ylim(min(bottom, 95), 101)

    return draw


POINTS = 240  # per line; more are not visible and would make the files huge
DIVERGED = 1e30  # larger losses are gaps like inf: their sums would overflow
_AXIS_LABELS = {"loss": "training loss", "AP": "AP ×100", "oLRP": "oLRP ×100"}

Points = tuple[np.ndarray, np.ndarray]


def series(rows: list[dict[str, Any]], key: str) -> Points:
    """Return ``(iterations, values)`` of the lines with a ``key`` that can be drawn."""
    pairs = [
        (row["iteration"], float(row[key]))
        for row in rows
        if isinstance(row.get(key), int | float) and abs(row[key]) < DIVERGED
    ]
    points = np.array(pairs, dtype=float).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean over a centered window that shrinks at both ends."""
    if width < 2 or len(values) < 2:
        return values
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low = np.maximum(places - width // 2, 0)
    high = np.minimum(places + width // 2 + 1, len(values))
    means: np.ndarray = (sums[high] - sums[low]) / (high - low)
    return means


@styled
def training_curves(results: Sequence[Result], preset: Preset, narrow: bool = False) -> Figure:
    """Return a row of panels for each loss family: loss, AP, oLRP.

    The loss is a running mean over 1/50 of the run, with the single iterations in the background.
    A panel without data is omitted; AP and oLRP have the same scale in all rows.
    """
    histories = {result.entry.entry_id: result.training() for result in results}
    every = [
        name for name in PANELS if any(len(series(rows, name)[0]) for rows in histories.values())
    ]
    highest = max(
        (max(series(rows, "AP")[1], default=0.0) for rows in histories.values()), default=0.0
    )
    limits = {"AP": (0, 108 * highest or 1), "oLRP": (0, 100)}
    blocks = []
    for family, entries in families_of(results, histories).items():
        keys = by_detector_name(entries, loss_color(family))
        lines = {entry.entry_id: line for entry, (_, line) in zip(entries, keys, strict=True)}
        panels = [
            Panel("", "iteration", _AXIS_LABELS[name], _training(histories, lines, name, limits))
            for name in every
        ]
        blocks.append(Block(family, panels, keys))
    across = max(len(every), 1)
    grid = Grid(WIDE, 3 if across == 1 else 1, across, 2.0)
    grid = Grid(NARROW, 1, 1, 1.6) if narrow else grid
    return blocks_figure(FIGURES["training"].title, preset.caption, blocks, grid, NO_TRAINING)


def families_of(
    results: Sequence[Result], histories: Mapping[str, list[Any]]
) -> dict[str, list[Entry]]:
    """Return the entries with a training record by loss family, those of one by detector."""
    order = list(dict.fromkeys(detector_group(result.entry) for result in results))
    families: dict[str, list[Entry]] = {}
    for result in sorted(results, key=lambda each: order.index(detector_group(each.entry))):
        if histories[result.entry.entry_id]:
            families.setdefault(loss_family(result.entry), []).append(result.entry)
    return dict(sorted(families.items(), key=lambda item: family_rank(item[0])))


def by_detector_name(entries: Sequence[Entry], color: str) -> list[Key]:
    """Return a legend of the entries of one loss: the detector, with a dash pattern of its own."""
    names, lines = labels(entries, detector_group), strokes(entries, detector_group)
    return [(names[entry.entry_id], {"color": color, **lines[entry.entry_id]}) for entry in entries]


def _training(
    histories: Mapping[str, list[Any]],
    lines: Lines,
    name: str,
    limits: Mapping[str, tuple[float, float]],
) -> Any:
    def draw(axes: Axes) -> None:
        for entry_id, line in lines.items():
            draw_series(axes, name, *series(histories[entry_id], name), line)
        axes.set_xlim(left=0)
        if name in limits:
            axes.set_ylim(*limits[name])

    return draw


def draw_series(
    axes: Axes, name: str, iterations: np.ndarray, values: np.ndarray, style: dict[str, Any]
) -> None:
    """Draw a metric in percent, or a loss as its running mean and its single values."""
    if not len(values):
        return
    if name in ("AP", "oLRP"):
        axes.plot(iterations, 100 * values, **{"marker": "o", "markersize": 2.4, **style})
        return
    smooth = running_mean(values, len(values) // 50)
    kept = np.unique(np.linspace(0, len(values) - 1, min(len(values), POINTS)).astype(int))
    iterations, values, smooth = iterations[kept], values[kept], smooth[kept]
    if name == "loss":
        axes.plot(iterations, values, color=style["color"], alpha=0.22, linewidth=0.6)
    axes.plot(iterations, smooth, **style)
    # The first iterations may be many times the rest; the curve is what is to be seen.
    top = 1.12 * float(np.max(smooth[len(smooth) // 20 :]))
    lowest, highest = axes.get_ylim() if axes.get_autoscaley_on() is False else (0.0, 0.0)
    axes.set_ylim(min(0.0, lowest, float(smooth.min())), max(highest, top) or 1.0)


MOST_TERMS = 12  # of one family; detection transformers have six decoder layers of each


def terms_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the loss terms of a training in their order, then the weights that balance them."""
    names = dict.fromkeys(name for row in rows for name in row)
    terms = [name for name in names if "loss" in name and name != "loss"]
    return terms + [name for name in names if name.startswith("balance")]


def term_title(name: str) -> str:
    """Return the title of a term's panel: a balance is the weight of a term."""
    weight = name.startswith("balance")
    return short(f"weight of loss{name.removeprefix('balance')}" if weight else name)


@styled
def loss_terms(results: Sequence[Result], preset: Preset, narrow: bool = False) -> Figure:
    """Return a panel for each loss term, and for each weight of a self-balanced one, by family."""
    histories = {result.entry.entry_id: result.training() for result in results}
    blocks = []
    for family, entries in families_of(results, histories).items():
        keys = by_detector_name(entries, loss_color(family))
        lines = {entry.entry_id: line for entry, (_, line) in zip(entries, keys, strict=True)}
        rows = (row for entry_id in lines for row in histories[entry_id])
        drawn = [
            name
            for name in terms_of(rows)
            if any(len(series(histories[entry_id], name)[0]) for entry_id in lines)
        ]
        panels = [
            Panel(term_title(name), "iteration", "", _training(histories, lines, name, {}))
            for name in drawn[:MOST_TERMS]
        ]
        more = len(drawn) - MOST_TERMS
        note = f" ({more} more terms are not drawn)" if more > 0 else ""
        if panels:
            blocks.append(Block(f"{family}{note}", panels, keys))
    grid = Grid(NARROW, 1, 2, 1.35) if narrow else Grid(WIDE, 1, 4, 1.75)
    return blocks_figure(FIGURES["loss_terms"].title, preset.caption, blocks, grid, NO_TERMS)
