"""`rankdet plan`: estimate jobs, GPU hours and disk space of a target."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app


@app.command("plan")
def plan_command(
    targets: Annotated[list[str], typer.Argument(help="Targets or files, as for snakemake.")],
    seconds_per_image: Annotated[
        float,
        typer.Option(min=0, help="Training time per image on one device, if no run was measured."),
    ] = 0.03,
    results: Annotated[
        Path, typer.Option(help="Folder with finished runs, for measured times.")
    ] = Path("results"),
) -> None:
    """Print what a target of the workflow would run; use it in the folder of the Snakefile.

    Testing an image is assumed to cost half as much as training on it. Example: rankdet plan search
    """
    from rankdet.workflow.plan import cost, planned_jobs, table, time_of

    jobs = planned_jobs(targets)
    if not jobs:
        typer.echo("nothing to do")
        return
    typer.echo(table(cost(jobs, time_of(seconds_per_image, results))))
    typer.echo(
        f"assumed: {seconds_per_image:g} s per training image and device (--seconds-per-image); "
        "measured: from finished runs of this preset or search"
    )
