"""`rankdet convert`: an official trained model to a checkpoint that `rankdet predict` reads."""

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
    entry: Annotated[str, typer.Argument(help="Entry id, as in `rankdet list`.")],
    source: Annotated[Path, typer.Option(help="The official file: `rankdet fetch checkpoint`.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to write; run.json goes beside it.")],
    data: Annotated[
        Path | None,
        typer.Option(help="dataset.json that it will be evaluated on; its name is kept."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Full log.")] = None,
) -> None:
    """Convert an official model: old names to ours, tensors only, strictly checked."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    load_catalogue()[entry]
    manifest = load_manifest(data) if data else None
    outputs = {"--out": out, "run.json beside --out": out.parent / "run.json"}
    check_outputs(outputs, log=log, inputs=[source, *places.files_of(data, manifest)])
    with logged(log):
        from rankdet.training.convert import convert as run

        record = run(entry, source, out, manifest)
    typer.echo(f"{entry}: {record['weights']['tensors']} tensors, {out}")
