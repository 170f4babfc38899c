"""One self-contained HTML page: summary, figures, tables, provenance, links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import Drawing, svg
from rankdet.report.captions import FIGURES
from rankdet.report.formats import environment
from rankdet.report.links import first_links
from rankdet.report.names import IOU_NAMES, detector_group, family_rank, loss_color, loss_family
from rankdet.report.results import Result, Run
from rankdet.report.tables import MISSING, TableView, figure
from rankdet.report.verdicts import why_not_comparable
from rankdet.times import duration

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "oLRP", "oLRP_loc", "oLRP_fp", "oLRP_fn")


@dataclass(frozen=True)
class OverviewRow:
    """One entry and IoU type; metrics as in the papers, of several runs with their deviation."""

    entry_id: str
    row_label: str
    detector: str
    loss: str
    color: str
    kind: str
    metrics: tuple[str, ...]
    runs: int
    time: str
    seconds: float | None


@dataclass(frozen=True)
class RunRow:
    """The provenance of one run; ``place`` is its folder below that of the preset."""

    entry_id: str
    place: str
    iterations: str
    time: str
    seconds: float | None
    seconds_per_iteration: str
    seed: str
    data: str
    git: str


def overview(results: Mapping[str, Result]) -> list[OverviewRow]:
    """Return a row per entry and IoU type, sorted by detector and loss as in the figures."""
    detectors = list(dict.fromkeys(detector_group(each.entry) for each in results.values()))

    def place(result: Result) -> tuple[int, tuple[int, str]]:
        return detectors.index(detector_group(result.entry)), family_rank(loss_family(result.entry))

    return [
        OverviewRow(
            entry_id=result.entry.entry_id,
            row_label=result.entry.row_label,
            detector=detector_group(result.entry),
            loss=loss_family(result.entry),
            color=loss_color(loss_family(result.entry)),
            kind=IOU_NAMES[iou_type],
            metrics=tuple(with_spread(result, iou_type, name) for name in METRICS),
            runs=len(result.runs),
            time=duration(result.run.get("seconds")),
            seconds=result.run.get("seconds"),
        )
        for result in sorted(results.values(), key=place)
        for iou_type in result.metrics
    ]


def with_spread(result: Result, iou_type: str, name: str) -> str:
    """Return the mean of a metric, of several runs with their standard deviation."""
    spread = result.spread(iou_type, name)
    mean = figure(result.metric(iou_type, name))
    return mean if spread is None else f"{mean} ± {spread:.1f}"


def remarks(results: Mapping[str, Result], preset: Preset) -> list[str]:
    """Return remarks on single entries: missing records, and why they are not comparable."""
    lost = [
        f"{name}: {lack}" for name, result in results.items() for lack in _lacks(result, preset)
    ]
    if not preset.is_comparable:
        return lost
    reasons = {name: why_not_comparable(result, preset) for name, result in results.items()}
    return lost + [f"{name} is not comparable: {why}" for name, why in reasons.items() if why]


def _lacks(result: Result, preset: Preset) -> list[str]:
    """Return the missing records of the training; published weights have only run.json."""
    lacks = [] if result.run else ["run.json is missing: the training settings are unknown"]
    if preset.name != "published" and not (result.folder / "training.jsonl").is_file():
        lacks.append("training.jsonl is missing: no training curve")
    return lacks


def runs(results: Mapping[str, Result]) -> list[RunRow]:
    """Return the provenance of each run; a dash for values missing in ``run.json``."""
    return [_run(run) for result in results.values() for run in result.runs]


def _run(run: Run) -> RunRow:
    record = run.record
    seconds, iterations = record.get("seconds"), record.get("iterations")
    git = record.get("git")
    return RunRow(
        entry_id=run.entry.entry_id,
        place=run.place,
        iterations="—" if iterations is None else str(iterations),
        time=duration(seconds),
        seconds=seconds,
        seconds_per_iteration=figure(run.seconds_per_iteration, 2),
        seed="—" if run.seed is None else str(run.seed),
        data=run.data_name or "—",
        git=str(git or "—"),
    )


def shared(records: Iterable[Mapping[str, Any]], key: str) -> list[dict[str, str]]:
    """Return the distinct values of ``machine`` or ``versions``, usually only one."""
    found: list[dict[str, str]] = []
    for record in records:
        value = record.get(key)
        if isinstance(value, dict):
            shown = {name: str(item) for name, item in value.items() if item is not None}
            if shown and shown not in found:
                found.append(shown)
    return found


LINKS = {
    "aLRP Loss (NeurIPS 2020)": "https://github.com/kemaloksuz/aLRPLoss",
    "aLRP Loss, AP-Loss-based code": "https://github.com/kemaloksuz/aLRPLoss-AblationExperiments",
    "Parameterized AP Loss (NeurIPS 2021)": (
        "https://github.com/fundamentalvision/Parameterized-AP-Loss"
    ),
    "Rank & Sort Loss (ICCV 2021)": "https://github.com/kemaloksuz/RankSortLoss",
    "Bucketed Ranking-based Losses (ECCV 2024)": (
        "https://github.com/blisgard/BucketedRankingBasedLosses"
    ),
    "MMDetection 3.3": "https://github.com/open-mmlab/mmdetection/tree/v3.3.0",
}
_HEADINGS = {
    "oLRP_loc": "loc.",
    "oLRP_fp": "FP",
    "oLRP_fn": "FN",
    "APs": "AP s",
    "APm": "AP m",
    "APl": "AP l",
}


def heading(metric: str) -> str:
    """Return the heading of a metric in a narrow column."""
    return _HEADINGS.get(metric, metric)


@dataclass(frozen=True)
class ShownFigure:
    """A figure of the page: two widths of it, of which a reader sees one, and its words."""

    name: str
    title: str
    caption: str
    words: str
    missing: str
    wide: Markup
    narrow: Markup


def shown_figure(name: str, drawing: Drawing) -> ShownFigure:
    """Draw a figure of `FIGURES` for the page, unless there is nothing to draw."""
    return show(name, drawing, FIGURES[name].text)


def show(name: str, drawing: Drawing, caption: str) -> ShownFigure:
    """Draw a figure for a page, unless there is nothing to draw."""

    def drawn(narrow: bool) -> Markup:
        if drawing.missing:
            return Markup()
        prefix = f"{name}-narrow" if narrow else name
        # Generated here: external text in it is escaped by matplotlib.
        figure = drawing.figure(narrow=narrow)
        return Markup(svg(figure, prefix, drawing.title, words_id=f"words-{name}"))

    texts = drawing.title, caption, drawing.words, drawing.missing
    return ShownFigure(name, *texts, drawn(False), drawn(True))


def render_page(
    results: Mapping[str, Result],
    views: Sequence[TableView],
    figures: Mapping[str, Drawing],
    preset: Preset,
    links: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Return the page.

    Args:
        results: the measured results.
        views: the tables; those without a measured row are collapsed.
        figures: by name, as `rankdet.report.figures.draw_figures` returns them.
        preset: the preset of the results.
        links: the addresses of the pages of single runs by entry id and place, as
            `rankdet.report.links.run_links` returns them.
    """
    links = links or {}
    rows = overview(results)
    records = [result.run for result in results.values()]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            preset=preset,
            overview=rows,
            remarks=remarks(results, preset),
            with_kind=any(row.kind == "mask" for row in rows),
            with_seeds=any(row.runs > 1 for row in rows),
            metrics=[heading(name) for name in METRICS],
            missing=MISSING,
            first_page=first_links(links),
            pages={place: each for places in links.values() for place, each in places.items()},
            figures=[shown_figure(name, drawing) for name, drawing in figures.items()],
            measured=[view for view in views if view.measured_rows],
            unmeasured=[view for view in views if not view.measured_rows],
            runs=runs(results),
            machines=shared(records, "machine"),
            versions=shared(records, "versions"),
            links=LINKS,
        )
    )
