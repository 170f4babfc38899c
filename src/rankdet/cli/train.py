"""`rankdet train` and `rankdet predict`: from an entry to its detections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app
from rankdet.cli.log import logged

PresetName = Annotated[str, typer.Option(help="paper, published, mini, overfit, demo or smoke.")]
DataPath = Annotated[Path, typer.Option(help="dataset.json written by `rankdet prepare`.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Data-loading processes.")]
LogFile = Annotated[Path | None, typer.Option(help="Full log; progress still goes to the screen.")]


@app.command("train")
def train(
    entry: Annotated[str, typer.Argument(help="Entry id, as in `rankdet list`.")],
    preset: PresetName,
    data: DataPath,
    work_dir: Annotated[Path, typer.Option(help="Intermediate checkpoints; kept.")],
    out: Annotated[Path, typer.Option(help="The checkpoint to publish.")],
    seed: int = 0,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="In place of a short preset's own number.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue from the work directory.")] = False,
    backbones: Annotated[
        Path, typer.Option(help="Fetched weights, from which preset paper starts.")
    ] = Path("data/backbones"),
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Backbone and neck in bfloat16; loss in float32.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Channels innermost in backbone and neck.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile on the backbone.")
    ] = False,
    threads: Threads = None,
    workers: Workers = None,
    log: LogFile = None,
) -> None:
    """Train one entry and publish its checkpoint, run.json and training.jsonl beside it."""
    from rankdet.catalogue import load_catalogue
    from rankdet.data.manifest import load_manifest

    # Cheap mistakes are found before torch is imported.
    load_catalogue()[entry]
    manifest = load_manifest(data)
    with logged(log):
        from rankdet.training.presets import get_preset
        from rankdet.training.run import train as run
        from rankdet.training.speed import Speed

        record = run(
            entry,
            get_preset(preset, iterations),
            manifest,
            work_dir,
            out,
            seed=seed,
            resume=resume,
            threads=threads,
            workers=workers,
            backbones=backbones,
            speed=Speed(bf16, channels_last, compiled),
        )
    typer.echo(f"{entry} {preset}: {record['iterations']} iterations, {record['seconds']} s, {out}")


@app.command("predict")
def predict(
    entry: Annotated[str, typer.Argument(help="Entry id, as in `rankdet list`.")],
    checkpoint: Annotated[Path, typer.Option(help="Written by `rankdet train`.")],
    preset: PresetName,
    data: DataPath,
    out: Annotated[Path, typer.Option(help="COCO results JSON to write.")],
    work_dir: Annotated[Path, typer.Option(help="For mmengine's logs.")],
    threads: Threads = None,
    workers: Workers = None,
    log: LogFile = None,
) -> None:
    """Run a checkpoint over the val images and write standard COCO results."""
    from rankdet.catalogue import load_catalogue
    from rankdet.data.manifest import load_manifest

    load_catalogue()[entry]
    manifest = load_manifest(data)
    with logged(log):
        from rankdet.training.predict import predict as run
        from rankdet.training.presets import get_preset

        run(entry, get_preset(preset), manifest, checkpoint, out, work_dir, threads, workers)
    typer.echo(f"{entry} {preset}: {out}")
