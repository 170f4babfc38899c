"""Estimate the cost of a target of the workflow: jobs, hours, disk space.

The jobs come from a dry run through Snakemake's API, so that every target can be planned. The time
of a training is measured if a similar one has run here, else assumed per image; the plan shows
which.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.search.plan import load_plan

# Disk space in MB that one job of a rule uses, with a full-width ResNet-50: a checkpoint of its
# weights (146, measured; the hard link in the work directory takes no space); detections of 5000
# images. The split of a search copies the annotations of COCO train.
DISK_MB = {"train": 146, "predict": 60, "evaluate": 5, "search_split": 470}
OTHER_MB = 1
COCO_IMAGES = 117_266  # of COCO train 2017 with an annotation
COCO_VAL_IMAGES = 5000
CITYSCAPES_IMAGES = 8 * 2975  # each 8 times within an epoch


@dataclass(frozen=True)
class Job:
    """One job of a dry run.

    Attributes:
        rule: its rule.
        wildcards: by name.
        gpus: that it requests.
    """

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)
    gpus: int = 0


@dataclass(frozen=True)
class Time:
    """Seconds of one job and where the number comes from: "measured", "assumed" or ""."""

    seconds: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Line:
    """The jobs of one rule together."""

    rule: str
    jobs: int
    gpu_hours: float
    cpu_hours: float
    disk_mb: float
    source: str


def planned_jobs(targets: Sequence[str]) -> list[Job]:
    """Return the jobs that Snakemake would run for ``targets`` in the working directory.

    Args:
        targets: rules or files, as for snakemake.

    Raises:
        ModuleNotFoundError: without Snakemake.
        InputError: if Snakemake cannot plan them.
    """
    from snakemake import api, settings
    from snakemake.logging import logger

    announced = _Announced()
    triggers = [settings.enums.RerunTrigger[name] for name in ("MTIME", "PARAMS", "INPUT")]
    try:
        with api.SnakemakeApi(settings.types.OutputSettings(dryrun=True)) as snakemake:
            logger.handlers = [announced]  # instead of printing
            workflow = snakemake.workflow(settings.types.ResourceSettings(cores=1))
            dag = workflow.dag(
                settings.types.DAGSettings(
                    targets=frozenset(targets),
                    rerun_triggers=frozenset(triggers),
                    force_incomplete=True,
                )
            )
            dag.execute_workflow(
                executor="dryrun", execution_settings=settings.types.ExecutionSettings(lock=False)
            )
    except Exception as error:  # also errors of the Snakefile, wrapped or not
        raise _input_error(error) from None
    return announced.jobs


def _input_error(error: BaseException) -> InputError:
    """Return our own error that caused one of Snakemake's, else one with its last line."""
    own: BaseException | None = error
    while own is not None:
        if isinstance(own, InputError):
            return own
        own = own.__cause__ or own.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return InputError(
        "a target that Snakemake can plan",
        lines[-1] if lines else type(error).__name__,
        "give a file or a target of the Snakefile",
    )


class _Announced(logging.Handler):
    """The jobs that Snakemake announces to its loggers."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Record a job."""
        if getattr(record, "event", None) == "job_info":
            known = vars(record)
            gpus = known["resources"].get("gpu") or 0
            self.jobs.append(Job(known["rule_name"], dict(known["wildcards"] or {}), int(gpus)))


def cost(jobs: Iterable[Job], time: Callable[[Job], Time]) -> list[Line]:
    """Return a line for each rule, in the order in which the jobs name them."""
    by_rule: dict[str, list[Job]] = {}
    for job in jobs:
        by_rule.setdefault(job.rule, []).append(job)
    lines = []
    for rule, own in by_rule.items():
        times = [time(job) for job in own]
        hours = [each.seconds / 3600 for each in times]
        on_gpu = sum(h * job.gpus for h, job in zip(hours, own, strict=True))
        on_cpu = sum(h for h, job in zip(hours, own, strict=True) if not job.gpus)
        sources = " + ".join(sorted({each.source for each in times if each.source}))
        lines.append(
            Line(rule, len(own), on_gpu, on_cpu, len(own) * DISK_MB.get(rule, OTHER_MB), sources)
        )
    return lines


def table(lines: Iterable[Line]) -> str:
    """Return the lines as text, with the total."""
    lines = list(lines)
    total = Line(
        "total",
        sum(line.jobs for line in lines),
        sum(line.gpu_hours for line in lines),
        sum(line.cpu_hours for line in lines),
        sum(line.disk_mb for line in lines),
        "",
    )
    rows = [
        f"{'rule':16s} {'jobs':>6s} {'GPU hours':>10s} {'CPU hours':>10s} {'disk GB':>8s}  time"
    ]
    rows += [
        f"{line.rule:16s} {line.jobs:6d} {line.gpu_hours:10.1f} {line.cpu_hours:10.1f} "
        f"{line.disk_mb / 1000:8.1f}  {line.source}".rstrip()
        for line in [*lines, total]
    ]
    return "\n".join(rows)


def time_of(seconds_per_image: float, results: Path) -> Callable[[Job], Time]:
    """Return a function that estimates how long a job takes.

    Args:
        seconds_per_image: of a training on one device, if no run was measured.
        results: folder with <preset>/<entry>/ and search/<search>/ of finished runs.
    """

    def time(job: Job) -> Time:
        seconds = _measured(job, results)
        if seconds is not None:
            return Time(seconds, "measured")
        images = images_of(job)
        # Several GPUs of a job divide the images among them.
        seconds = images * seconds_per_image / max(1, job.gpus)
        return Time(seconds, "assumed") if images else Time()

    return time


def _measured(job: Job, results: Path) -> float | None:
    """Return the mean time of finished runs of the job's preset or search; None without one."""
    if job.rule == "train":
        rows = results / job.wildcards["preset"]
        paths = [*rows.glob("*/run.json"), *rows.glob("*/seed-*/run.json")]
    elif job.rule == "search_sample":
        paths = list(results.glob(f"search/{job.wildcards['search']}/round-*/sample-*.json"))
    else:
        return None
    seconds = [read_json(path)["seconds"] for path in paths]
    return sum(seconds) / len(seconds) if seconds else None


def images_of(job: Job) -> float:
    """Return how many images a job trains on, counting a tested one as half."""
    if job.rule in ("search_sample", "search_train"):
        plan = load_plan(job.wildcards["search"])
        if plan.iterations is not None:
            return plan.iterations * plan.batch_size + plan.val_images / 2
        return (plan.epochs or 0) * (COCO_IMAGES - plan.val_images) + plan.val_images / 2
    if job.rule not in ("train", "predict"):
        return 0
    preset = get_preset(job.wildcards["preset"])
    if job.rule == "predict":
        return COCO_VAL_IMAGES / 2 if preset.iterations is None else 0
    if preset.iterations is not None:
        return preset.iterations * (preset.batch_size or 0)
    entry = load_catalogue()[job.wildcards["entry"]]
    images = CITYSCAPES_IMAGES if entry.dataset == "cityscapes" else COCO_IMAGES
    return (entry.official.epochs or 0) * images
