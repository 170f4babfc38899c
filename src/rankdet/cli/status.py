"""``rankdet status``: how far every run is, from the files that it writes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankdet.cli.app import app
from rankdet.cli.places import RESULTS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from rankdet.report.status import RunStatus


@app.command("status")
def status_command(
    preset: Annotated[
        str | None, typer.Option("--preset", help="Only this preset; default: all that have runs.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", help="Folder with <preset>/<entry>/; default: RANKDET_RESULTS or results."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            help="Folder of the trainings, with the same layout; default: RANKDET_RESULTS/work or "
            "work.",
        ),
    ] = None,
    watch: Annotated[
        float | None, typer.Option("--watch", min=0.1, help="Show it again every SECONDS.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: a list with an object per run.")
    ] = False,
) -> None:
    """Show every run: state, epochs, time left, last loss, current AP and oLRP.

    It only reads, so use it while jobs are running, also on a login node of a cluster.
    """
    from rankdet.cluster.lock import recorded_owner
    from rankdet.errors import InputError
    from rankdet.report.status import read_status
    from rankdet.report.status_table import status_table

    if watch is not None and as_json:
        raise InputError("--watch or --json", "both", "choose one of them")
    root = os.environ.get(RESULTS)
    places = results or Path(root or "results"), work or Path(root or "", "work")

    def read() -> list[RunStatus]:
        return read_status(*places, recorded_owner, preset)

    if as_json:
        document = [run.as_json() for run in read()]
        typer.echo(json.dumps(document, indent=2, allow_nan=False))
    elif watch is not None:
        console = _console()
        _watch(console, lambda: status_table(read(), console.width), watch)
    else:
        console = _console()
        console.print(status_table(read(), console.width))


def _watch(console: Console, view: Callable[[], RenderableType], seconds: float) -> None:
    """Show ``view()`` until Ctrl-C: in place on a terminal, else one after the other."""
    from rich.live import Live

    from rankdet.times import utc_now

    try:
        if console.is_terminal:
            with Live(view(), console=console, auto_refresh=False) as live:
                while True:
                    time.sleep(seconds)
                    live.update(view(), refresh=True)
        while True:
            console.print(utc_now(), view(), "", sep="\n")
            sys.stdout.flush()
            time.sleep(seconds)
    except KeyboardInterrupt:
        return


def _console() -> Console:
    """Return a console with the terminal's width; for a pipe, one wide enough for the table."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    return console if console.is_terminal else Console(width=180)
