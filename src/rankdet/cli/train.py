"""`rankdet train`, `predict` and `record`: from an entry to its detections.

The defaults of the paths come from ``RANKDET_DATA`` and ``RANKDET_RESULTS``, as in the image.
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
from rankdet.cli.places import logged
from rankdet.cli.seeds import run_each
from rankdet.cluster.lock import locked
from rankdet.cluster.slurm import is_launched, launch, rank
from rankdet.outputs import check_outputs, real_path
from rankdet.paths import BACKBONES
from rankdet.training.records import BESIDE
from rankdet.training.trackers import requested

EXIT_RESUMABLE = 75  # exit code of a training that stopped with a checkpoint (EX_TEMPFAIL)

# Files in the work directory.
STOPPED = (
    ".rankdet-stopped"  # tells the launching command that its processes stopped with a checkpoint
)
OWN_FILES = (
    *("running.json", "running.lock", "last_checkpoint", "run_settings.json"),
    *("finished.json", "finished.pth", "training.jsonl", "schedule.json", "trackers.json"),
)

DataPath = Annotated[
    Path | None,
    typer.Option(help="dataset.json written by `rankdet prepare`; default: from RANKDET_DATA."),
]
OUT = "; default: in RANKDET_RESULTS/PRESET/ENTRY."
WORK = "; default: in RANKDET_RESULTS/work."


class OnChange(StrEnum):
    """What to do with a training that has other settings."""

    REFUSE = "refuse"
    SET_ASIDE = "set-aside"


Seeds = Annotated[
    str | None,
    typer.Option(
        help="Several seeds, such as 0,1,2: one run after the other, each in the folder seed-<n> "
        "beside --out and in --work-dir."
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.")]
Workers = Annotated[int | None, typer.Option(min=0, help="Data-loading processes.")]
LogFile = Annotated[
    Path | None, typer.Option(help="File for the full log; progress is still printed.")
]


@app.command("train")
def train(
    entry: Annotated[str, typer.Argument(help="Entry id; see `rankdet list`.")],
    preset: PresetName,
    data: DataPath = None,
    work_dir: Annotated[
        Path | None, typer.Option(help=f"Folder for intermediate checkpoints{WORK}")
    ] = None,
    out: Annotated[Path | None, typer.Option(help=f"Final checkpoint to write{OUT}")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    seeds: Seeds = None,
    iterations: Annotated[
        int | None,
        typer.Option(min=1, help="Overrides the number of iterations of a short preset."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Overrides the learning rate of a short preset."),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Resume the training in the work directory.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete the training in the work directory first.")
    ] = False,
    on_change: Annotated[
        OnChange,
        typer.Option(
            help="What to do with a training in the work directory that has other settings."
        ),
    ] = OnChange.REFUSE,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another training in the work directory to end.")
    ] = False,
    backbones: Annotated[
        Path,
        typer.Option(
            envvar="RANKDET_BACKBONES", help="Folder of the pretrained weights, for preset paper."
        ),
    ] = BACKBONES,
    processes: Annotated[
        int, typer.Option(min=1, help="Training processes, each on its own GPU.")
    ] = 1,
    passes: Annotated[
        int,
        typer.Option(
            min=0,
            help="Passes per step, each with a part of the images; 0: one per official GPU.",
        ),
    ] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes of this Slurm job to use.")] = 1,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Backbone and neck in bfloat16; losses in float32.")
    ] = False,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Channels-last memory in backbone and neck.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile on the backbone.")
    ] = False,
    stop_without_positives: Annotated[
        bool, typer.Option(help="Stop, not only warn, if no training image has a usable object.")
    ] = False,
    trackers: Annotated[
        list[str] | None,
        typer.Option(
            "--tracker",
            envvar="RANKDET_TRACKERS",
            help="tensorboard (the default), wandb or mlflow; can be repeated. none: no tracker.",
        ),
    ] = None,
    threads: Threads = None,
    workers: Workers = None,
    log: LogFile = None,
) -> None:
    """Train one entry and write its checkpoint, with run.json and training.jsonl next to it."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    # Cheap mistakes are found before torch is imported.
    row = load_catalogue()[entry]
    manifest = load_manifest(data) if data is not None else None
    out = places.checkpoint(out, row, preset)
    work_dir = places.work_dir(work_dir, row, preset)
    if seeds is not None:
        run_each(seeds, {"--out": out, "--work-dir": work_dir}, seed_option="--seed")
        return
    tracked = requested(trackers, lambda line: is_launched() or print(line, file=sys.stderr))
    if not is_launched():
        folder, in_work = out.parent, real_path(out.parent) == real_path(work_dir)
        beside = {f"{name} next to --out": folder / name for name in BESIDE[: 1 if in_work else 2]}
        check_outputs(
            {"--out": out, **beside},
            {"--work-dir": work_dir},
            log=log,
            inputs=places.files_of(data, manifest),
            own=[work_dir / name for name in OWN_FILES],
        )
    stopped = work_dir / STOPPED
    own = threads and max(1, threads * nodes // processes)
    with locked(work_dir, wait=wait) if not is_launched() else nullcontext():
        if processes > 1 and not is_launched():
            if data is None:  # prepared once, before the processes need it
                from rankdet.catalogue.presets import get_preset

                places.data_set(data, row, get_preset(preset, iterations, learning_rate))
            stopped.unlink(missing_ok=True)
            code = launch(sys.argv[1:], processes, nodes, threads or 1)
            if stopped.exists():
                stopped.unlink()
                code = EXIT_RESUMABLE
            raise typer.Exit(code)
        with logged(log):
            from rankdet.catalogue.presets import get_preset
            from rankdet.training.interruption import Interrupted
            from rankdet.training.run import Settings
            from rankdet.training.run import train as run
            from rankdet.training.runner import Speed

            chosen = get_preset(preset, iterations, learning_rate)
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
                        trackers=tracked,
                    ),
                )
            except Interrupted as stop:
                if rank() == 0:
                    print(f"{entry} {preset}: {stop}; continue with --resume", file=sys.stderr)
                if is_launched():  # exit code 0 here; the launching command returns 75
                    stopped.touch()
                    return
                raise SystemExit(EXIT_RESUMABLE) from None
    if rank() > 0:
        return
    typer.echo(f"{entry} {preset}: {record['iterations']} iterations, {record['seconds']} s, {out}")


@app.command("predict")
def predict(
    entry: Annotated[str, typer.Argument(help="Entry id; see `rankdet list`.")],
    preset: PresetName,
    checkpoint: Annotated[
        Path | None, typer.Option(help=f"Checkpoint written by `rankdet train`{OUT}")
    ] = None,
    data: DataPath = None,
    out: Annotated[Path | None, typer.Option(help=f"COCO results JSON to write{OUT}")] = None,
    seeds: Seeds = None,
    work_dir: Annotated[Path | None, typer.Option(help=f"Folder for mmengine's logs{WORK}")] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="File of `rankdet calibrate` to apply to the scores."),
    ] = None,
    threads: Threads = None,
    workers: Workers = None,
    log: LogFile = None,
) -> None:
    """Run a checkpoint on the val images and write COCO results."""
    from rankdet.catalogue import load_catalogue
    from rankdet.datasets.manifest import load_manifest

    row = load_catalogue()[entry]
    manifest = load_manifest(data) if data is not None else None
    checkpoint = places.checkpoint(checkpoint, row, preset)
    out = places.detections(out, row, preset)
    work_dir = places.work_dir(work_dir, row, preset, "predict")
    if seeds is not None:
        run_each(seeds, {"--checkpoint": checkpoint, "--out": out, "--work-dir": work_dir})
        return
    inputs = [checkpoint, calibration, *places.files_of(data, manifest)]
    check_outputs({"--out": out}, {"--work-dir": work_dir}, log=log, inputs=inputs)
    if calibration is not None:
        from rankdet.evaluation.calibrators import read_calibration

        read_calibration(calibration)  # before torch is imported and a data set prepared
    with logged(log):
        from rankdet.catalogue.presets import get_preset
        from rankdet.training.predict import predict as run

        chosen = get_preset(preset)
        manifest = places.data_set(data, row, chosen)
        run(entry, chosen, manifest, checkpoint, out, work_dir, threads, workers, calibration)
    typer.echo(f"{entry} {preset}: {out}")


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
