"""``rankdet submission``: pack detections for the COCO test server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app


@app.command("submission")
def submission_command(
    detections: Annotated[Path, typer.Option("--detections", help="COCO results JSON.")],
    name: Annotated[str, typer.Option("--name", help="Name of the algorithm on the server.")],
    out_dir: Annotated[
        Path, typer.Option("--out-dir", help="Folder for the JSON file and the zip file.")
    ],
    image_info: Annotated[
        Path | None,
        typer.Option("--image-info", help="image_info_test-dev2017.json, to check image ids."),
    ] = None,
    testset: Annotated[
        str, typer.Option("--testset", help="Name of the test set on the server.")
    ] = "test-dev2017",
) -> None:
    """Validate detections and pack detections_test-dev2017_<name>_results.zip for the server."""
    from rankdet.evaluation.submission import pack, stem
    from rankdet.outputs import check_outputs

    base = stem(name, testset)
    written = {f"{suffix} in --out-dir": out_dir / f"{base}.{suffix}" for suffix in ("json", "zip")}
    check_outputs(written, {"--out-dir": out_dir}, inputs=[detections, image_info])

    _, zip_path, notes = pack(detections, name, out_dir, image_info, testset)
    for note in notes:
        typer.echo(f"rankdet: note: {note}", err=True)
    typer.echo(zip_path)
