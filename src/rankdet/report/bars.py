"""AP and oLRP of every entry, grouped by detector."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import INK, SOFT, empty, headline, styled
from rankdet.report.groups import detector_group, family_rank, loss_color, loss_family
from rankdet.report.results import Result

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
