"""`rankdet train` and `rankdet predict`: from an entry to its detections.

What is not given comes from ``RANKDET_DATA`` and ``RANKDET_RESULTS``, as in the image.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli import places
from rankdet.cli.app import PresetName, app
from rankdet.cli.log import logged
from rankdet.cluster.launch import is_launched, launch, rank
from rankdet.cluster.lock import held
from rankdet.outputs import check_outputs, real_path
from rankdet.paths import BACKBONES
from rankdet.training.records import BESIDE

AGAIN = 75  # exit code of a training that was stopped in time and can continue (EX_TEMPFAIL)

# What it writes into its work directory.
STOPPED = ".rankdet-stopped"  # tells the command that its processes stopped with a checkpoint
OWN_FILES = (
    *("running.json", "running.lock", "last_checkpoint", "run_settings.json"),
    *("finished.json", "finished.pth", "training.jsonl"),
)

DataPath = Annotated[
    Path | None,
    typer.Option(help="dataset.json written by `rankdet prepare`; default: made of RANKDET_DATA."),
]
OUT = "; default: in RANKDET_RESULTS/PRESET/ENTRY."
WORK = "; default: in RANKDET_RESULTS/work."


class OnChange(StrEnum):
    """What becomes of a training of other settings."""

    REFUSE = "refuse"
    SET_ASIDE = "set-aside"


Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Data-loading processes.")]
LogFile = Annotated[Path | None, typer.Option(help="Full log; progress still goes to the screen.")]


@app.command("train")
def train(
    entry: Annotated[str, typer.Argument(help="Entry id, as in `rankdet list`.")],
    preset: PresetName,
    data: DataPath = None,
    work_dir: Annotated[
        Path | None, typer.Option(help=f"Checkpoints on the way; kept{WORK}")
    ] = None,
    out: Annotated[Path | None, typer.Option(help=f"The checkpoint to publish{OUT}")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="In place of a short preset's own number.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue from the work directory.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete the training in the work directory first.")
    ] = False,
    on_change: Annotated[
        OnChange,
        typer.Option(help="What happens with a training of other settings in the work directory."),
    ] = OnChange.REFUSE,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another training in the work directory.")
    ] = False,
    backbones: Annotated[
        Path,
        typer.Option(
            envvar="RANKDET_BACKBONES", help="Fetched weights, from which preset paper starts."
        ),
    ] = BACKBONES,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that train together, each on a GPU of its own.")
    ] = 1,
    passes: Annotated[
        int,
        typer.Option(
            min=0,
            help="Passes of a step, each with a part of its images; 0: the official GPUs' parts.",
        ),
    ] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of this Slurm job to spread over.")] = 1,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Backbone and neck in bfloat16; loss in float32.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Channels innermost in backbone and neck.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile on the backbone.")
    ] = False,
    stop_without_positives: Annotated[
        bool, typer.Option(help="End a training that finds nothing to learn from; else a warning.")
    ] = False,
    threads: Threads = None,
    workers: Workers = None,
    log: LogFile = None,
) -> None:
    """Train one entry and publish its checkpoint, run.json and training.jsonl beside it."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    # Cheap mistakes are found before torch is imported.
    row = load_catalogue()[entry]
    manifest = load_manifest(data) if data is not None else None
    out = places.checkpoint(out, row, preset)
    work_dir = places.work_dir(work_dir, row, preset)
    if not is_launched():
        folder, in_work = out.parent, real_path(out.parent) == real_path(work_dir)
        beside = {f"{name} beside --out": folder / name for name in BESIDE[: 1 if in_work else 2]}
        check_outputs(
            {"--out": out, **beside},
            {"--work-dir": work_dir},
            log=log,
            inputs=places.files_of(data, manifest),
            own=[work_dir / name for name in OWN_FILES],
        )
    stopped = work_dir / STOPPED
    own = threads and max(1, threads * nodes // processes)
    with held(work_dir, wait=wait) if not is_launched() else nullcontext():
        if processes > 1 and not is_launched():
            if data is None:  # prepared once, before the processes look for it
                from rankdet.catalogue.presets import get_preset

                places.data_set(data, row, get_preset(preset, iterations))
            stopped.unlink(missing_ok=True)
            code = launch(sys.argv[1:], processes, nodes, threads or 1)
            if stopped.exists():
                stopped.unlink()
                code = AGAIN
            raise typer.Exit(code)
        with logged(log):
            from rankdet.catalogue.presets import get_preset
            from rankdet.training.interruption import Interrupted
            from rankdet.training.run import Settings
            from rankdet.training.run import train as run
            from rankdet.training.speed import Speed

            chosen = get_preset(preset, iterations)
            try:
                record = run(
                    entry,
                    chosen,
                    places.data_set(data, row, chosen),
                    work_dir,
                    out,
                    Settings(
                        seed=seed,
                        resume=resume,
                        restart=restart,
                        on_change=on_change.value,
                        threads=own,
                        workers=workers,
                        passes=passes,
                        backbones=backbones,
                        speed=Speed(bf16, channels_last, compiled),
                        stop_without_positives=stop_without_positives,
                    ),
                )
            except Interrupted as stop:
                if rank() == 0:
                    print(f"{entry} {preset}: {stop}; --resume continues there", file=sys.stderr)
                if is_launched():  # 0, as all have ended well; the command itself says 75
                    stopped.touch()
                    return
                raise SystemExit(AGAIN) from None
    if rank() > 0:
        return
    typer.echo(f"{entry} {preset}: {record['iterations']} iterations, {record['seconds']} s, {out}")


@app.command("predict")
def predict(
    entry: Annotated[str, typer.Argument(help="Entry id, as in `rankdet list`.")],
    preset: PresetName,
    checkpoint: Annotated[
        Path | None, typer.Option(help=f"Written by `rankdet train`{OUT}")
    ] = None,
    data: DataPath = None,
    out: Annotated[Path | None, typer.Option(help=f"COCO results JSON to write{OUT}")] = None,
    work_dir: Annotated[Path | None, typer.Option(help=f"For mmengine's logs{WORK}")] = None,
    threads: Threads = None,
    workers: Workers = None,
    log: LogFile = None,
) -> None:
    """Run a checkpoint over the val images and write standard COCO results."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    row = load_catalogue()[entry]
    manifest = load_manifest(data) if data is not None else None
    checkpoint = places.checkpoint(checkpoint, row, preset)
    out = places.detections(out, row, preset)
    work_dir = places.work_dir(work_dir, row, preset, "predict")
    inputs = [checkpoint, *places.files_of(data, manifest)]
    check_outputs({"--out": out}, {"--work-dir": work_dir}, log=log, inputs=inputs)
    with logged(log):
        from rankdet.catalogue.presets import get_preset
        from rankdet.training.predict import predict as run

        chosen = get_preset(preset)
        manifest = places.data_set(data, row, chosen)
        run(entry, chosen, manifest, checkpoint, out, work_dir, threads, workers)
    typer.echo(f"{entry} {preset}: {out}")
