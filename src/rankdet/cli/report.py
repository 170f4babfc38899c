"""``rankdet report``: tables, figures, one HTML page and a summary of a preset's results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankdet.cli.app import PresetName, app
from rankdet.outputs import check_outputs

if TYPE_CHECKING:
    from rankdet.catalogue import Catalogue, State, Table
    from rankdet.catalogue.presets import Preset
    from rankdet.report.results import Result

report = typer.Typer(help="Tables, figures and pages from results/<preset>/.", no_args_is_help=True)
app.add_typer(report, name="report")

Results = Annotated[
    Path | None, typer.Option("--results", help="Folder of the preset; default: results/<preset>.")
]
Entries = Annotated[
    str | None, typer.Option("--entries", help="Only these entries: comma-separated ids.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="dataset.json with the val images to draw; default: data/prepared/<data set>."
    ),
]
Logs = Annotated[
    Path | None, typer.Option(help="Folder with <entry>/train.log; default: logs/<preset>.")
]


@report.command("tables")
def tables_command(
    preset: PresetName,
    results: Results = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Target folder; default: <results>/tables.")
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", help="Only this table (its slug).")
    ] = None,
    entries: Entries = None,
) -> None:
    """Write tables as CSV, Markdown, HTML and LaTeX, with published and measured values."""
    from rankdet.report.formats import FORMATS, write_table
    from rankdet.report.links import first_links, run_links
    from rankdet.report.tables import table_view

    target = out or folder_of(preset, results) / "tables"
    check_outputs({}, {"--out": target})
    catalogue, chosen, folder, found = read(preset, results, entries)
    tables = _tables(catalogue, table, entries)
    states = states_of(catalogue, folder)
    links = first_links(run_links(found, folder, target / "table.html"))
    measured = 0
    for each in tables:
        view = table_view(each, catalogue, found, states, chosen)
        measured += view.measured_rows
        write_table(view, target, links)
    typer.echo(
        f"{len(tables)} tables, {measured} measured rows: {target}/*.{{{','.join(FORMATS)}}}"
    )


@report.command("figures")
def figures_command(
    preset: PresetName,
    results: Results = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Target folder; default: <results>/figures.")
    ] = None,
    entries: Entries = None,
) -> None:
    """Write all figures of the page as SVG and PNG, with a text alternative in each file."""
    from rankdet.report.figures import draw_figures, write_figures

    target = out or folder_of(preset, results) / "figures"
    check_outputs({}, {"--out": target})
    catalogue, chosen, _, found = read(preset, results, entries)
    paths = write_figures(draw_figures(catalogue, found, chosen), target)
    typer.echo(f"{len(paths) // 2} figures of {len(found)} entries: {target}/*.{{svg,png}}")


@report.command("html")
def html_command(
    preset: PresetName,
    results: Results = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: <results>/report.html.")
    ] = None,
    entries: Entries = None,
    data: Data = None,
    logs: Logs = None,
    with_runs: Annotated[
        bool, typer.Option("--runs/--no-runs", help="Also write the page of every run.")
    ] = True,
) -> None:
    """Write a self-contained HTML page with summary, figures, tables, and a page per run."""
    from rankdet.outputs import write_text
    from rankdet.report.figures import draw_figures
    from rankdet.report.links import run_links
    from rankdet.report.page import render_page
    from rankdet.report.tables import table_view

    source = folder_of(preset, results)
    target = out or source / "report.html"
    check_outputs({"--out": target}, inputs=source.glob("*/*.json"))
    catalogue, chosen, folder, found = read(preset, results, entries)
    states = states_of(catalogue, folder)
    tables = _tables(catalogue, None, entries)
    views = [table_view(each, catalogue, found, states, chosen) for each in tables]
    if with_runs:
        from rankdet.cli.run_sources import sources_of
        from rankdet.report.run_page import write_runs

        write_runs(found, folder, sources_of(catalogue, states, found, chosen, data, logs))
    links = run_links(found, folder, target)
    figures = draw_figures(catalogue, found, chosen)
    write_text(target, render_page(found, views, figures, chosen, links))
    typer.echo(str(target))


@report.command("cards")
def cards_command(
    preset: PresetName,
    results: Results = None,
    entries: Entries = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Only this run: <entry> or <entry>/seed-<n>.")
    ] = None,
) -> None:
    """Write a model card and an mmdetection metafile into the folder of each finished run."""
    from rankdet.report.cards import CARD, METAFILE, write_cards

    names = run.partition("/")[0] if run else entries
    catalogue, chosen, folder, found = read(preset, results, names)
    paths = write_cards(found, catalogue, chosen, only=run)
    typer.echo(f"{len(paths) // 2} runs: {folder}/**/{{{CARD},{METAFILE}}}")


@report.command("crate")
def crate_command(
    preset: PresetName,
    results: Results = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; default: <results>/ro-crate-metadata.json."),
    ] = None,
    entries: Entries = None,
) -> None:
    """Write the provenance of all runs as an RO-Crate: data, code, settings, times, files."""
    from rankdet.outputs import write_json
    from rankdet.report.crate import METADATA, crate_of

    source = folder_of(preset, results)
    target = out or source / METADATA
    check_outputs({"--out": target}, inputs=source.glob("**/*.json") if out else ())
    catalogue, chosen, folder, found = read(preset, results, entries)
    write_json(target, crate_of(found, catalogue, chosen, folder))
    typer.echo(str(target))


@report.command("summary")
def summary_command(preset: PresetName, results: Results = None, entries: Entries = None) -> None:
    """Print the measured results, the training times, missing entries and the report files."""
    from rich.console import Console

    from rankdet.report.summary import summary

    catalogue, chosen, folder, found = read(preset, results, entries)
    expected = [catalogue[name] for name in names_of(entries) or []]
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(summary(found, expected, folder, chosen))


@report.command("verdicts")
def verdicts_command(
    preset: PresetName = "paper",
    results: Results = None,
    entries: Entries = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write the verdicts as CSV.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also cells that no run here can reproduce.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Fail if a row is not reproduced, if one of --entries was not compared, or if "
            "nothing was.",
        ),
    ] = False,
) -> None:
    """Print whether each published value is reproduced, with its runs, interval and reason."""
    from rich.console import Console

    from rankdet.outputs import write_text
    from rankdet.report.gate import as_csv, as_table, failures
    from rankdet.report.verdicts import cells_of

    source = folder_of(preset, results)
    check_outputs({"--out": out} if out else {}, inputs=source.glob("**/*.json"))
    catalogue, chosen, folder, found = read(preset, results, entries)
    tables = _tables(catalogue, None, entries)
    cells = cells_of(tables, catalogue, found, states_of(catalogue, folder), chosen)
    if out:
        write_text(out, as_csv(cells, chosen))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(as_table(cells, chosen, every=every))
    failed = failures(cells, chosen, names_of(entries)) if strict else []
    for line in failed:
        typer.echo(line, err=True)
    if failed:
        raise typer.Exit(1)


@report.command("rehearsal")
def rehearsal_command(
    results: Annotated[
        Path, typer.Option("--results", help="Folder with rehearsal/<entry>/.")
    ] = Path("results"),
    record: Annotated[
        bool, typer.Option("--record", help="Record the rows that passed in configs/.")
    ] = False,
) -> None:
    """List the rows that have not passed preset rehearsal with this code; fail if there are any."""
    from rankdet.catalogue import load_catalogue
    from rankdet.catalogue.state import code_identity, record_rehearsals, rehearsals_of

    rows = [entry for entry in load_catalogue() if entry.config_path.is_file()]
    codes = {entry.entry_id: code_identity(entry) for entry in rows}
    every = rehearsals_of(results, rows)
    passed = [each for each in every if each.code == codes[each.entry]]
    older = {each.entry for each in every} - {each.entry for each in passed}
    for name in sorted(set(codes) - {each.entry for each in passed}):
        why = "passed with other code" if name in older else "did not finish"
        typer.echo(f"{name}: {why}")
    seconds = sum(each.seconds for each in passed)
    typer.echo(
        f"{len(passed)} of {len(rows)} rows rehearsed with this code; training {seconds:.0f} s"
    )
    if record:
        typer.echo(str(record_rehearsals(passed)))
    if len(passed) < len(rows):
        raise typer.Exit(1)


def read(
    preset: str, results: Path | None, entries: str | None
) -> tuple[Catalogue, Preset, Path, dict[str, Result]]:
    """Return the catalogue, the preset, the folder of its results, and the results."""
    from rankdet.catalogue import load_catalogue
    from rankdet.catalogue.presets import get_preset
    from rankdet.report.results import read_results

    catalogue, chosen = load_catalogue(), get_preset(preset)
    folder = folder_of(preset, results)
    return catalogue, chosen, folder, read_results(catalogue, folder, preset, names_of(entries))


def folder_of(preset: str, results: Path | None) -> Path:
    """Return the folder of a preset's results."""
    return results or Path("results", preset)


def names_of(entries: str | None) -> list[str] | None:
    """Return the ids of a comma-separated list; None for all."""
    if entries is None:
        return None
    return [name.strip() for name in entries.split(",") if name.strip()]


def _tables(catalogue: Catalogue, slug: str | None, entries: str | None) -> list[Table]:
    """Return the tables to write; with ``entries`` only their rows."""
    from dataclasses import replace

    tables = [catalogue.table(slug)] if slug else list(catalogue.tables)
    names = names_of(entries)
    if names is None:
        return tables
    rows = [
        (table, tuple(entry for entry in table.entries if entry.entry_id in names))
        for table in tables
    ]
    return [replace(table, entries=kept) for table, kept in rows if kept]


def states_of(catalogue: Catalogue, folder: Path) -> dict[str, State]:
    """Return the status of each entry, from the results of all presets."""
    from dataclasses import replace

    from rankdet.catalogue import entry_state
    from rankdet.report.results import why_missing

    states = {}
    for entry in catalogue:
        figures = bool(catalogue.published(entry.entry_id))
        state = entry_state(entry, folder.parent, has_figures=figures)
        reason = why_missing(folder, entry.entry_id)
        states[entry.entry_id] = replace(state, label=f"missing: {reason}") if reason else state
    return states
