"""``rankdet report run``: the pages of single runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import PresetName
from rankdet.cli.report import Data, Logs, Results, folder_of, names_of, read, report, states_of
from rankdet.outputs import check_outputs


@report.command("run")
def run_command(
    entries: Annotated[
        str, typer.Argument(metavar="ENTRIES", help="Entry ids, comma-separated.")
    ],
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
    seed: Annotated[
        int | None, typer.Option(min=0, help="Only the run of this seed.")
    ] = None,
) -> None:
    """Write the page of each run of an entry, run.html in the folder of the run."""
    from rankdet.cli.run_sources import NO_ROW, sources_of
    from rankdet.errors import InputError
    from rankdet.report.links import NAME
    from rankdet.report.results import read_results
    from rankdet.report.run_page import write_runs

    catalogue, chosen, folder, found = read(preset, results, entries)
    for name in names_of(entries) or []:
        if name not in found:
            fix = "train, predict and evaluate it first"
            raise InputError(f"a result of {name} in {folder}", "none", fix)
    if seed is not None:
        from dataclasses import replace

        found = {
            name: replace(result, runs=tuple(run for run in result.runs if run.seed == seed))
            for name, result in found.items()
        }
        lacking = [name for name, result in found.items() if not result.runs]
        if lacking:
            raise InputError(f"a run of {lacking[0]} with seed {seed}", "none", "see its folder")
    if beside == NO_ROW:
        others = {}
    else:
        named = None if beside is None else [beside]
        others = read_results(catalogue, folder, preset, named)
    states = states_of(catalogue, folder)
    sources = sources_of(catalogue, states, found, chosen, data, logs, others, beside)
    pages = [folder / run.place / NAME for result in found.values() for run in result.runs]
    check_outputs({f"{page}": page for page in pages}, inputs=folder_of(preset, results).glob("*/*.json"))
    for path in write_runs(found, folder, sources):
        typer.echo(str(path))
