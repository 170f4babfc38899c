"""The typer application that the verbs register on."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="rankdet",
    help="Ranking-based losses for object detection: train, evaluate, tabulate.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
