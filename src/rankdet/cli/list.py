"""``rankdet list`` and ``rankdet show``: the table entries, published figures, and status."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankdet.cli.app import app

if TYPE_CHECKING:
    from rich.console import Console

    from rankdet.audit import Audit
    from rankdet.catalogue import Catalogue, Entry, State, Table

Results = Annotated[Path, typer.Option("--results", help="Folder with <preset>/<entry>/.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_command(
    table: Annotated[
        str | None, typer.Option("--table", help="Only this table (its slug).")
    ] = None,
    paper: Annotated[
        str | None, typer.Option("--paper", help="Only papers whose name contains this text.")
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Build every model that has a config (requires mmdet).")
    ] = False,
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """List all entries by paper and table, with published figures and status."""
    from rankdet.catalogue import load_catalogue
    from rankdet.report.listing import as_data, listing

    catalogue = load_catalogue()
    tables = _select(catalogue, table, paper)
    states = {
        entry.entry_id: _state(catalogue, entry.entry_id, results)
        for chosen in tables
        for entry in chosen.entries
    }
    builds = _build([name for name, state in states.items() if state.has_config]) if build else None
    if as_json:
        typer.echo(json.dumps(as_data(catalogue, tables, states, builds), indent=2))
    else:
        _console().print(listing(catalogue, tables, states, builds))
    if builds and any(outcome.startswith("fails") for outcome in builds.values()):
        raise typer.Exit(1)


@app.command("show")
def show_command(
    entry_id: Annotated[str, typer.Argument(metavar="ENTRY", help="Entry id; see `rankdet list`.")],
    results: Results = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show one entry: published figures, official settings with sources, and differences here.

    Showing the settings used here requires mmdet; without it, only the official ones are shown.
    """
    from rankdet.catalogue import load_catalogue
    from rankdet.report.listing import entry_page

    catalogue = load_catalogue()
    entry = catalogue[entry_id]
    published = catalogue.published(entry_id)
    state = _state(catalogue, entry_id, results)
    here = _audit(entry) if state.has_config else None
    if as_json:
        document = {
            **entry.model_dump(mode="json", exclude={"status"}),
            "origin": entry.status,
            "status": state.label,
            "published": [value.model_dump(exclude={"entry_id"}) for value in published],
            "official": entry.official.model_dump(mode="json", exclude_none=True),
            "here": here and here.settings,
            "deviations": here
            and [each.model_dump(exclude={"entries"}) for each in here.deviations],
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        heading = catalogue.table(entry.table_slug).title
        _console().print(entry_page(entry, heading, published, state, here))


def _audit(entry: Entry) -> Audit | None:
    """Return the settings used here and how they deviate; None without mmdet."""
    if find_spec("mmdet") is None:
        return None
    from rankdet.audit import audit
    from rankdet.models.build import load_config

    return audit(entry, load_config(entry.entry_id).to_dict())


def _select(catalogue: Catalogue, slug: str | None, paper: str | None) -> list[Table]:
    from rankdet.errors import InputError, nearest

    tables = [catalogue.table(slug)] if slug else list(catalogue.tables)
    if paper:
        papers = {table.paper for table in tables}
        tables = [table for table in tables if paper.lower() in table.paper.lower()]
        if not tables:
            raise InputError(
                "text that occurs in the name of a paper", repr(paper), nearest(paper, papers)
            )
    return tables


def _state(catalogue: Catalogue, entry_id: str, results: Path) -> State:
    from rankdet.catalogue import entry_state

    has_figures = bool(catalogue.published(entry_id))
    return entry_state(catalogue[entry_id], results, has_figures=has_figures)


def _build(entry_ids: list[str]) -> dict[str, str]:
    """Build each model; the reason for a failure is one line, whatever mmdet raises."""
    from rankdet.models.build import build_model

    outcomes = {}
    for entry_id in entry_ids:
        try:
            build_model(entry_id)
            outcomes[entry_id] = "builds"
        except Exception as error:  # a registry, a config or a model may raise anything
            words = str(error.args[0]) if error.args else ""  # str() of a KeyError is quoted
            reason = next(iter(words.strip().splitlines()), type(error).__name__)
            outcomes[entry_id] = f"fails: {reason}"
    return outcomes


def _console() -> Console:
    """Return a console with the terminal's width; for a pipe, one wide enough for every table."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    return console if console.is_terminal else Console(width=140)
