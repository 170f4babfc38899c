"""``rankdet report run``: the pages of single runs."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdet.cli.app import PresetName
from rankdet.cli.report import Data, Logs, Results, names_of, read, report, states_of
from rankdet.outputs import check_outputs, write_text


@report.command("run")
def run_command(
    entries: Annotated[str, typer.Argument(metavar="ENTRIES", help="Entry ids, comma-separated.")],
    preset: PresetName,
    results: Results = None,
    data: Data = None,
    logs: Logs = None,
    beside: Annotated[
        str | None,
        typer.Option(
            help="The row whose detections are drawn beside those of the run; none for no row. "
            "Default: another loss with the same detector, if there is one."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Only the run in this folder: <entry> or <entry>/seed-<n>."),
    ] = None,
) -> None:
    """Write the page of each run of an entry, run.html in the folder of the run."""
    from rankdet.cli.run_sources import NO_ROW, sources_of
    from rankdet.errors import InputError
    from rankdet.report.links import NAME
    from rankdet.report.results import read_results
    from rankdet.report.run_page import render_run

    catalogue, chosen, folder, found = read(preset, results, entries)
    for name in names_of(entries) or []:
        if name not in found:
            fix = "train, predict and evaluate it first"
            raise InputError(f"a result of {name} in {folder}", "none", fix)
    if beside == NO_ROW:
        others = {}
    else:
        named = None if beside is None else [beside]
        others = read_results(catalogue, folder, preset, named)
    states = states_of(catalogue, folder)
    sources = sources_of(catalogue, states, found, chosen, data, logs, others, beside)
    pages = {
        folder / run.place / NAME: run
        for result in found.values()
        for run in result.runs
        if only in (None, run.place)
    }
    if not pages:
        raise InputError(f"--only with a run of {entries}", only or "none", "see the folders there")
    check_outputs({str(page): page for page in pages}, inputs=folder.glob("**/*.json"))
    for page, run in pages.items():
        write_text(page, render_run(run, found[run.entry.entry_id], sources))
        typer.echo(str(page))
