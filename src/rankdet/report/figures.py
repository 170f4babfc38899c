"""All figures of a preset by name, each in two widths and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rankdet.catalogue import Catalogue
from rankdet.catalogue.presets import Preset
from rankdet.report import words
from rankdet.report.bars import NOTHING, metric_bars
from rankdet.report.canvas import Drawing, write_figure
from rankdet.report.captions import FIGURES
from rankdet.report.claims import (
    EVALUATE_AGAIN,
    correlation_figure,
    cost_figure,
    published_figure,
    why_free,
    why_unpublished,
)
from rankdet.report.curves import (
    NO_CURVES,
    NO_TERMS,
    NO_TRAINING,
    loss_terms,
    lrp_curves,
    precision_recall_curves,
    training_curves,
)
from rankdet.report.names import printable
from rankdet.report.results import Result
from rankdet.report.verdicts import why_not_comparable


def draw_figures(
    catalogue: Catalogue, results: Mapping[str, Result], preset: Preset
) -> dict[str, Drawing]:
    """Return every figure of `FIGURES`; one without data says why.

    Raises:
        InputError: if a file that a figure needs is invalid.
    """
    rows = list(results.values())
    known = {metric: _published(catalogue, rows, metric, preset) for metric in ("AP", "oLRP")}
    again = EVALUATE_AGAIN if rows else NOTHING
    # What draws a figure, its words, and what it says if there are none.
    every = {
        "ap": (
            lambda narrow: metric_bars(rows, "AP", preset, known["AP"], narrow),
            *(words.metric_words(rows, "AP", known["AP"]), NOTHING),
        ),
        "olrp": (
            lambda narrow: metric_bars(rows, "oLRP", preset, known["oLRP"], narrow),
            *(words.metric_words(rows, "oLRP", known["oLRP"]), NOTHING),
        ),
        "published": (
            lambda narrow: published_figure(rows, preset, known["AP"], narrow),
            *(words.published_words(rows, known["AP"]), why_unpublished(rows, preset)),
        ),
        "cost": (
            lambda narrow: cost_figure(rows, preset, narrow),
            *(words.cost_words(rows), why_free(rows, preset)),
        ),
        "training": (
            lambda narrow: training_curves(rows, preset, narrow),
            *(words.training_words(rows), NO_TRAINING),
        ),
        "loss_terms": (
            lambda narrow: loss_terms(rows, preset, narrow),
            *(words.terms_words(rows), NO_TERMS),
        ),
        "precision_recall": (
            lambda narrow: precision_recall_curves(rows, preset, narrow),
            *(words.precision_words(rows), NO_CURVES),
        ),
        "lrp": (
            lambda narrow: lrp_curves(rows, preset, narrow),
            *(words.lrp_words(rows), NO_CURVES),
        ),
        "correlation": (
            lambda narrow: correlation_figure(rows, preset, narrow),
            *(words.correlation_words(rows), again),
        ),
    }
    return {
        name: Drawing(
            FIGURES[name].title,
            draw,
            printable(f"{preset.caption} {text or reason}"),
            "" if text else reason,
        )
        for name, (draw, text, reason) in every.items()
    }


def write_figures(figures: Mapping[str, Drawing], folder: str | Path) -> list[Path]:
    """Write each figure as SVG and PNG; return the paths."""
    drawn = {name: drawing.figure() for name, drawing in figures.items()}  # before any is written
    return [
        path
        for name, figure in drawn.items()
        for path in write_figure(figure, folder, name, figures[name].title, figures[name].words)
    ]


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
        for value in catalogue.official_values(result.entry.entry_id).values()
        if value.value is not None
        and (value.iou_type, value.metric) == (result.main_iou_type, metric)
        and not value.needs_server
    }
