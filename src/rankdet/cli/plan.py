"""`rankdet plan`: jobs, GPU hours and disk of a target, before anything starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankdet.cli.app import app

if TYPE_CHECKING:
    from rankdet.planning import Job, Time

COCO_IMAGES = 117_266  # of COCO train 2017 with an annotation
COCO_VAL_IMAGES = 5000
CITYSCAPES_IMAGES = 8 * 2975  # each 8 times within an epoch


@app.command("plan")
def plan_command(
    targets: Annotated[list[str], typer.Argument(help="Targets or files, as for snakemake.")],
    seconds_per_image: Annotated[
        float,
        typer.Option(min=0, help="Of a training, on one device; used where none is measured."),
    ] = 0.03,
    results: Annotated[Path, typer.Option(help="Where finished runs are looked for.")] = Path(
        "results"
    ),
) -> None:
    """Print what a target of the workflow would run; run it in the folder of the Snakefile.

    Testing an image is taken to cost half of training on it. Example: rankdet plan search
    """
    from rankdet.errors import InputError
    from rankdet.planning import cost, jobs_of, table

    if find_spec("snakemake") is None:
        raise ModuleNotFoundError("No module named 'snakemake'", name="snakemake")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nocolor", "--nolock"]
    # After "--" a target is never taken for an option of Snakemake.
    command += ["--cores", "1", "--", *targets]
    run = subprocess.run(command, text=True, errors="replace", capture_output=True, check=False)
    output = run.stdout + run.stderr
    if run.returncode:
        last = [line for line in output.splitlines() if line.strip()][-1:]
        raise InputError(
            "a target that Snakemake can plan",
            " ".join(last),
            "name a file or a target of the Snakefile",
        )
    jobs = jobs_of(output)
    if not jobs:
        typer.echo("nothing to be done")
        return
    typer.echo(table(cost(jobs, time_of(seconds_per_image, results))))
    typer.echo(
        f"stated: {seconds_per_image:g} s per training image and device (--seconds-per-image); "
        "measured: runs of this preset or search that finished here"
    )


def time_of(seconds_per_image: float, results: Path) -> Callable[[Job], Time]:
    """Return a function that says how long a job takes."""
    from rankdet.planning import Time

    def time(job: Job) -> Time:
        seconds = measured(job, results)
        if seconds is not None:
            return Time(seconds, "measured")
        images = images_of(job)
        # Several GPUs of a job share the images out.
        seconds = images * seconds_per_image / max(1, job.gpus)
        return Time(seconds, "stated") if images else Time()

    return time


def measured(job: Job, results: Path) -> float | None:
    """Return the mean time of finished runs of the job's preset or search; None without one."""
    from rankdet.files import read_json

    if job.rule == "train":
        paths = list(results.glob(f"{job.wildcards['preset']}/*/run.json"))
    elif job.rule == "search_sample":
        paths = list(results.glob(f"search/{job.wildcards['search']}/round-*/sample-*.json"))
    else:
        return None
    seconds = [read_json(path)["seconds"] for path in paths]
    return sum(seconds) / len(seconds) if seconds else None


def images_of(job: Job) -> float:
    """Return how many images a job trains on, counting a tested one as half."""
    from rankdet.catalogue import load_catalogue
    from rankdet.search.plan import load_plan
    from rankdet.training.presets import get_preset

    if job.rule in ("search_sample", "search_train"):
        plan = load_plan(job.wildcards["search"])
        if plan.iterations is not None:
            return plan.iterations * plan.batch_size + plan.val_images / 2
        return plan.epochs * (COCO_IMAGES - plan.val_images) + plan.val_images / 2
    if job.rule not in ("train", "predict"):
        return 0
    preset = get_preset(job.wildcards["preset"])
    if job.rule == "predict":
        return COCO_VAL_IMAGES / 2 if preset.iterations is None else 0
    if preset.iterations is not None:
        return preset.iterations * preset.batch_size
    entry = load_catalogue()[job.wildcards["entry"]]
    images = CITYSCAPES_IMAGES if entry.dataset == "cityscapes" else COCO_IMAGES
    return (entry.official.epochs or 0) * images
