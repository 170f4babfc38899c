"""`rankdet convert`: convert an official model to a checkpoint for `rankdet predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli import places
from rankdet.cli.app import app
from rankdet.cli.log import logged
from rankdet.outputs import check_outputs


@app.command("convert")
def convert(
    entry: Annotated[str, typer.Argument(help="Entry id; see `rankdet list`.")],
    source: Annotated[
        Path, typer.Option(help="The official file, from `rankdet fetch checkpoint`.")
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint to write; run.json is written next to it.")],
    data: Annotated[
        Path | None,
        typer.Option(help="dataset.json that it will be evaluated on; its name is recorded."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for the full log.")] = None,
) -> None:
    """Convert an official model: rename its tensors, keep only tensors, check them strictly."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    load_catalogue()[entry]
    manifest = load_manifest(data) if data else None
    outputs = {"--out": out, "run.json next to --out": out.parent / "run.json"}
    check_outputs(outputs, log=log, inputs=[source, *places.files_of(data, manifest)])
    with logged(log):
        from rankdet.training.convert import convert as run

        record = run(entry, source, out, manifest)
    typer.echo(f"{entry}: {record['weights']['tensors']} tensors, {out}")
