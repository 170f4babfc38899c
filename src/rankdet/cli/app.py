"""The typer application that the verbs register on."""

from __future__ import annotations

from typing import Annotated

import typer

from rankdet.catalogue.presets import PRESETS

app = typer.Typer(
    name="rankdet",
    help="Ranking-based losses for object detection: train, evaluate, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PresetName = Annotated[str, typer.Option("--preset", help=f"One of {', '.join(PRESETS)}.")]
