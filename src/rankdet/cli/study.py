"""`rankdet study`: learning rates, table and page of a study of configs/studies.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app
from rankdet.outputs import check_outputs

study = typer.Typer(help="Studies: many methods on many sets.", no_args_is_help=True)
app.add_typer(study, name="study")

Name = Annotated[str, typer.Argument(help="A study of configs/studies.yaml.")]
Results = Annotated[
    Path, typer.Option("--results", help="Folder with <study>-<set>/<entry>/seed-<n>/.")
]


@study.command("rates")
def rates_command(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="rates.json to write.")],
    results: Results = Path("results"),
) -> None:
    """Choose the learning rate of each method: the highest AP on the tuning split."""
    from rankdet.outputs import write_json
    from rankdet.report.study import choose_rates

    check_outputs({"--out": out})
    rates = choose_rates(name, results)
    write_json(out, rates)
    for method, rate in rates["chosen"].items():
        typer.echo(f"{method}: {rate:g}")


@study.command("report")
def report_command(
    name: Name,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    results: Results = Path("results"),
) -> None:
    """Write tables, figures and the page of a study."""
    from rankdet.report.study import write_report

    check_outputs({}, {"--out": out})
    for path in write_report(name, results, out):
        typer.echo(str(path))
