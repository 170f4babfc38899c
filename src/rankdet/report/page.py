"""One self-contained HTML page: summary, figures, tables, provenance, links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from rankdet.catalogue.presets import Preset
from rankdet.report.canvas import svg
from rankdet.report.figures import FIGURES
from rankdet.report.formats import environment
from rankdet.report.overview import METRICS, overview, remarks, runs, shared
from rankdet.report.results import Result
from rankdet.report.tables import TableView

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


def render_page(
    results: Mapping[str, Result],
    views: Sequence[TableView],
    figures: Mapping[str, Figure],
    preset: Preset,
) -> str:
    """Return the page.

    Args:
        results: the measured results.
        views: the tables; those without a measured row are collapsed.
        figures: by name, as `rankdet.report.figures.draw_figures` returns them.
        preset: the preset of the results.
    """
    rows = overview(results)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            preset=preset,
            overview=rows,
            remarks=remarks(results, preset),
            with_kind=any(row.kind == "mask" for row in rows),
            metrics=[_HEADINGS.get(name, name) for name in METRICS],
            # The SVG is generated here and contains no external text as markup.
            figures=[
                (name, FIGURES[name], Markup(svg(figure, name))) for name, figure in figures.items()
            ],
            measured=[view for view in views if view.measured_rows],
            unmeasured=[view for view in views if not view.measured_rows],
            runs=runs(results),
            machines=shared(results, "machine"),
            versions=shared(results, "versions"),
            links=LINKS,
        )
    )
