"""`rankdet plan`: jobs, GPU hours and disk of a target, before anything starts."""

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
        typer.Option(min=0, help="Of a training, on one device; used where none is measured."),
    ] = 0.03,
    results: Annotated[Path, typer.Option(help="Where finished runs are looked for.")] = Path(
        "results"
    ),
) -> None:
    """Print what a target of the workflow would run; run it in the folder of the Snakefile.

    Testing an image is taken to cost half of training on it. Example: rankdet plan search
    """
    from rankdet.workflow.plan import cost, planned_jobs, table, time_of

    jobs = planned_jobs(targets)
    if not jobs:
        typer.echo("nothing to be done")
        return
    typer.echo(table(cost(jobs, time_of(seconds_per_image, results))))
    typer.echo(
        f"stated: {seconds_per_image:g} s per training image and device (--seconds-per-image); "
        "measured: runs of this preset or search that finished here"
    )
