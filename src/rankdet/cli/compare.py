"""``rankdet compare``: two results of one data set, with intervals of their differences."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from rankdet.cli.app import app
from rankdet.cli.sources import (
    AnnotationsPath,
    DatasetPath,
    ProtocolName,
    detections_file,
    ground_truth,
    names_of,
)
from rankdet.outputs import check_outputs


@app.command("compare")
def compare_command(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="COCO results JSON, or a folder with it.")
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="The same of another result.")],
    annotations: AnnotationsPath = None,
    dataset: DatasetPath = None,
    iou_type: Annotated[str, typer.Option("--iou-type", help="bbox or segm.")] = "bbox",
    protocol: ProtocolName = None,
    resamples: Annotated[int, typer.Option(min=2, help="Resamples of the images.")] = 1000,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    method: Annotated[
        str, typer.Option(help="Kind of interval: corrected, bca or percentile.")
    ] = "corrected",
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for compare.json, .csv, .md, .svg and .png."),
    ] = None,
) -> None:
    """Compare two results: B - A with intervals, and the classes that changed most.

    Example: rankdet compare results/paper/ap_r50 results/paper/rs_r50 --dataset dataset.json
    """
    annotations, chosen = ground_truth(annotations, dataset, protocol)
    written = {} if out is None else _outputs(out)
    given = [place for path in (first, second) for place in (path, path / "detections.json")]
    check_outputs(written, {"--out": out}, inputs=[annotations, dataset, *given])
    paths = detections_file(first), detections_file(second)

    from rankdet.evaluation import bootstrap
    from rankdet.report import comparison

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = bootstrap(
            annotations,
            *paths,
            iou_type=cast(Any, iou_type),
            protocol=cast(Any, chosen),
            resamples=resamples,
            confidence=confidence,
            method=cast(Any, method),
            seed=seed,
        )
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        typer.echo(f"rankdet: warning: {message}", err=True)
    names = names_of(*paths)
    if out is not None:
        comparison.write(found, names, out)
    for line in comparison.lines(found, names):
        typer.echo(line)


def _outputs(folder: Path) -> dict[str, Path]:
    suffixes = ("json", "csv", "md", "svg", "png")
    return {f"compare.{suffix} in --out": folder / f"compare.{suffix}" for suffix in suffixes}
