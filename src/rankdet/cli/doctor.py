"""`rankdet doctor`: check what is installed, whether it works, and how to fix problems."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdet.cli.app import app


@app.command("doctor")
def doctor(
    software: Annotated[
        bool,
        typer.Option("--software", help="Check only the installed software, not this machine."),
    ] = False,
) -> None:
    """Check versions, compiled operators, GPU, shared memory and disk; say how to fix problems."""
    from rich.console import Console
    from rich.table import Table

    from rankdet.training.checks import run_checks

    table = Table(title="rankdet doctor", title_justify="left")
    for column in ("check", "found", "verdict"):
        table.add_column(column, overflow="fold")
    failed = 0
    for check in run_checks(software):
        failed += not check.good
        verdict = "[green]ok[/]" if check.good else f"[red]problem:[/] {check.todo}"
        table.add_row(check.name, check.found, verdict)
    Console().print(table)
    if failed:
        raise typer.Exit(1)
