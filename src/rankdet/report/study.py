"""The report of a study: table, a figure per question, findings, as page, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rankdet.catalogue.studies import Study, study_of
from rankdet.outputs import write_text
from rankdet.report.canvas import DASHES, MARKERS, Drawing, styled, write_figure
from rankdet.report.captions import Caption
from rankdet.report.formats import environment
from rankdet.report.layout import NARROW, WIDE, Block, Grid, Panel, blocks_figure
from rankdet.report.page import shared, show
from rankdet.report.study_data import (
    METRICS,
    Mean,
    Measured,
    choose_rates,
    course,
    detectors,
    findings,
    means,
    read_study,
    runs_csv,
    summary_csv,
)

__all__ = ["choose_rates", "write_report"]

# Of the Okabe-Ito palette; the ranking losses as in all other figures.
COLORS = {
    "BCE": "#656c76",
    "CE": "#656c76",
    "Focal": "#b0b6be",
    "CB-Focal": "#cc79a7",
    "Seesaw": "#56b4e9",
    "AP": "#009e73",
    "aLRP": "#0072b2",
    "RS": "#d55e00",
    "BRS": "#e69f00",
}
FIGURES = {
    "imbalance": Caption(
        "Class imbalance",
        "AP of all classes and APr of the three rarest by the ratio of the most frequent to the "
        "rarest class; val is balanced. Bars: 95 % intervals over the seeds.",
    ),
    "objects": Caption(
        "Objects per image",
        "AP and oLRP with few (1-2), some (2-8) and many (8-16) objects per image.",
    ),
    "calibration": Caption(
        "Calibration",
        "Detection calibration error of the scores (D-ECE) before and after rankdet calibrate, "
        "on images that the calibration was not fitted to; mean over the sets.",
    ),
    "time": Caption("Time per step", "Milliseconds of a training step; mean over the sets."),
}
MISSING = "—"


def _key(study: Study, name: str) -> dict[str, Any]:
    """Return color, dash and marker of a method; no two of a detector have the same."""
    method = study.methods[name]
    same = [each for each, own in study.methods.items() if own.detector == method.detector]
    place = same.index(name)
    return {
        "color": COLORS.get(method.loss, "#99582a"),
        "linestyle": DASHES[place % len(DASHES)],
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 4,
    }


def _of(study: Study, detector: str) -> list[str]:
    return [name for name, own in study.methods.items() if own.detector == detector]


def _keys(study: Study, detector: str) -> list[tuple[str, dict[str, Any]]]:
    return [(study.methods[name].label, _key(study, name)) for name in _of(study, detector)]


def _lines(
    study: Study,
    detector: str,
    values: dict[tuple[str, str], Mean],
    sets: Mapping[str, str],
) -> Any:
    """Return a function that draws a line per method over ``sets``, which have labels."""

    def draw(axes: Axes) -> None:
        names = _of(study, detector)
        for place, name in enumerate(names):
            found = [
                (at, values[each, name]) for at, each in enumerate(sets) if (each, name) in values
            ]
            shift = 0.03 * (place - (len(names) - 1) / 2)
            axes.errorbar(
                [at + shift for at, _ in found],
                [mean.value for _, mean in found],
                yerr=[mean.half for _, mean in found],
                elinewidth=0.7,
                capsize=0,
                **_key(study, name),
            )
        axes.set_xticks(range(len(sets)), list(sets.values()))
        axes.set_ylim(bottom=0)

    return draw


@styled
def _by_set(
    study: Study,
    rows: Sequence[Measured],
    figure: str,
    metrics: Sequence[str],
    sets: Mapping[str, str],
    xlabel: str,
    narrow: bool,
) -> Figure:
    """Return a block per detector with a panel per metric."""
    found = {metric: means(study, rows, metric) for metric in metrics}
    blocks = [
        Block(
            detector,
            [
                Panel("", xlabel, f"{metric} ×100", _lines(study, detector, found[metric], sets))
                for metric in metrics
            ],
            _keys(study, detector),
        )
        for detector in detectors(study)
    ]
    grid = Grid(NARROW if narrow else WIDE, 1, 1 if narrow else len(metrics), 2.3)
    return blocks_figure(FIGURES[figure].title, study.title, blocks, grid, "no results")


@styled
def _dots(
    study: Study, rows: Sequence[Measured], figure: str, metrics: Sequence[str], narrow: bool
) -> Figure:
    """Return a line per method with a mark per metric: full for the first, open for the second."""
    found = {metric: means(study, rows, metric) for metric in metrics}

    def draw_of(detector: str) -> Any:
        names = _of(study, detector)

        def draw(axes: Axes) -> None:
            for place, name in enumerate(names):
                points = [_over_sets(study, found[metric], name) for metric in metrics]
                color = COLORS.get(study.methods[name].loss, "#99582a")
                axes.plot(points, [place] * len(points), color=color, linewidth=1)
                for point, face in zip(points, (color, "none"), strict=False):
                    axes.plot(point, place, "o", color=color, markerfacecolor=face, markersize=6)
            axes.set_yticks(range(len(names)), [study.methods[name].label for name in names])
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.set_xlim(0, 1.05 * axes.get_xlim()[1])  # room for marks at the right end

        return draw

    unit = "" if figure == "time" else " ×100, lower is better"
    keys = (
        []
        if len(metrics) == 1
        else [
            ("before", {"color": "#78818d", "marker": "o", "linestyle": "none"}),
            (
                "after",
                {"color": "#78818d", "marker": "o", "markerfacecolor": "none", "linestyle": "none"},
            ),
        ]
    )
    blocks = [
        Block(detector, [Panel("", f"{metrics[0]}{unit}", "", draw_of(detector))], keys)
        for detector in detectors(study)
    ]
    grid = Grid(NARROW if narrow else WIDE, 1 if narrow else 2, 1, 2.3)
    return blocks_figure(FIGURES[figure].title, study.title, blocks, grid, "no results")


def _over_sets(study: Study, values: dict[tuple[str, str], Mean], name: str) -> float:
    found = [values[each, name].value for each in study.sets if (each, name) in values]
    return float(np.mean(found)) if found else float("nan")


def _words(study: Study, rows: Sequence[Measured], metrics: Sequence[str]) -> str:
    parts = []
    for metric in metrics:
        found = means(study, rows, metric)
        for (set_name, name), mean in found.items():
            method = study.methods[name]
            parts.append(
                f"{metric}, {method.detector} with {method.label}, set {set_name}: "
                f"{mean.value:.1f} ± {mean.half:.1f}."
            )
    return " ".join(parts)


def drawings(study: Study, rows: Sequence[Measured]) -> dict[str, Drawing]:
    """Return the figures, one per question."""
    by_ratio = sorted(study.sets.items(), key=lambda item: item[1].imbalance)
    ratios = {each: f"{own.imbalance:g}" for each, own in by_ratio if own.objects == "some"}
    chosen = study.sets[study.chosen_on].imbalance
    amounts = {
        each: objects
        for objects in ("few", "some", "many")
        for each, own in study.sets.items()
        if own.objects == objects and own.imbalance == chosen
    }

    def of(name: str, metrics: Sequence[str], draw: Any) -> Drawing:
        return Drawing(FIGURES[name].title, draw, _words(study, rows, metrics))

    return {
        "imbalance": of(
            "imbalance",
            ("AP", "APr"),
            lambda narrow: _by_set(
                study, rows, "imbalance", ("AP", "APr"), ratios, "imbalance", narrow
            ),
        ),
        "objects": of(
            "objects",
            ("AP", "oLRP"),
            lambda narrow: _by_set(
                study, rows, "objects", ("AP", "oLRP"), amounts, "objects per image", narrow
            ),
        ),
        "calibration": of(
            "calibration",
            ("D-ECE", "D-ECE calibrated"),
            lambda narrow: _dots(study, rows, "calibration", ("D-ECE", "D-ECE calibrated"), narrow),
        ),
        "time": of(
            "time",
            ("ms per step",),
            lambda narrow: _dots(study, rows, "time", ("ms per step",), narrow),
        ),
    }


def _table(study: Study, rows: Sequence[Measured]) -> list[list[str]]:
    by_metric = {metric: means(study, rows, metric) for metric in METRICS}
    lines = []
    for set_name in study.sets:
        for name, method in study.methods.items():
            found = [by_metric[metric].get((set_name, name)) for metric in METRICS]
            cells = [MISSING if m is None else f"{m.value:.1f} ± {m.half:.1f}" for m in found]
            lines.append([set_name, method.detector, method.label, *cells])
    return lines


def write_report(name: str, results: Path, out: Path) -> list[Path]:
    """Write page, Markdown, CSV and figures of a study into ``out``; return the paths.

    Raises:
        InputError: if a run is missing or a file is invalid.
    """
    study, rows = study_of(name), read_study(name, results)
    rates = choose_rates(name, results)
    figures = drawings(study, rows)
    shown = [show(each, drawing, FIGURES[each].text) for each, drawing in figures.items()]
    values: dict[str, Any] = {
        "name": name,
        "study": study,
        "header": ["Set", "Detector", "Loss", *METRICS],
        "rows": _table(study, rows),
        "rates": rates,
        "findings": findings(study, rows),
        "count": len(rows),
        "course": course(rows),
        "machines": shared([row.run.record for row in rows], "machine"),
        "versions": shared([row.run.record for row in rows], "versions"),
    }
    templates = environment()
    texts = {
        "report.html": templates.get_template("study.html.j2").render(figures=shown, **values),
        "report.md": templates.get_template("study.md.j2").render(figures=FIGURES, **values),
        "runs.csv": runs_csv(rows),
        "summary.csv": summary_csv(study, rows),
    }
    paths = [out / each for each in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    for each, drawing in figures.items():
        paths += write_figure(drawing.figure(), out, each, title=drawing.title, words=drawing.words)
    return paths
