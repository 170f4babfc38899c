"""`rankdet report search`: the figure and the table of a finished search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.report import report


@report.command("search")
def search_report(
    found: Annotated[Path, typer.Argument(help="found.json written by `rankdet search finish`.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Target folder; default: that of found.json.")
    ] = None,
) -> None:
    """Write search.{svg,png,csv,md,html}: rewards, functions, found and published points."""
    from rankdet.outputs import check_outputs
    from rankdet.report.canvas import write_figure
    from rankdet.report.search_figure import search_figure
    from rankdet.report.search_found import read_found
    from rankdet.report.search_table import write_table

    content = read_found(found)
    target = out or found.parent
    check_outputs({}, {"--out": target}, inputs=[found])
    write_table(content, target)
    write_figure(search_figure(content), target, "search")
    typer.echo(f"{target}/search.{{svg,png,csv,md,html}}")
