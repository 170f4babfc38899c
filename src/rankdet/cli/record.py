"""`rankdet record`: write run.json and training.jsonl of a finished training again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli import places
from rankdet.cli.app import PresetName, app
from rankdet.outputs import check_outputs


@app.command("record")
def record_command(
    entry: Annotated[str, typer.Argument(help="Entry id; see `rankdet list`.")],
    preset: PresetName,
    work_dir: Annotated[
        Path | None,
        typer.Option(help="Work directory of the training; default: in RANKDET_RESULTS/work."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint next to which to write; default: in RANKDET_RESULTS/PRESET/ENTRY."
        ),
    ] = None,
) -> None:
    """Write run.json and training.jsonl of a finished training next to its checkpoint."""
    from rankdet.catalogue import load_catalogue
    from rankdet.training.records import BESIDE, CURVES, RECORD, write_again

    row = load_catalogue()[entry]
    work_dir = places.work_dir(work_dir, row, preset)
    folder = places.checkpoint(checkpoint, row, preset).parent
    written = {f"{name} next to --checkpoint": folder / name for name in BESIDE}
    check_outputs(written, inputs=[work_dir / RECORD, work_dir / CURVES])
    write_again(work_dir, folder, row.entry_id, preset)
    typer.echo(f"{entry} {preset}: {folder}/run.json, training.jsonl")
