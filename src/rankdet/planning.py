"""What a target of the workflow costs before anything starts: jobs, hours, disk.

The jobs come from Snakemake's own dry run, so that every target can be asked for. The time of a
training is measured where something like it has run here, else stated per image; a plan says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# Disk in MB that one job of a rule leaves, with a ResNet-50 at full width: a checkpoint of its
# weights (146, measured; a second name in the work directory takes no room); detections of 5000
# images. A search's split repeats the annotations of COCO train.
DISK_MB = {"train": 146, "predict": 60, "evaluate": 5, "search_split": 470}
OTHER_MB = 1
_BLOCK = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?: {4}.*\n?)*)", re.MULTILINE)
_WILDCARDS = re.compile(r"^ {4}wildcards: (.*)$", re.MULTILINE)
_GPU = re.compile(r"\bgpu=(\d+)")


@dataclass(frozen=True)
class Job:
    """One job of a dry run.

    Attributes:
        rule: its rule.
        wildcards: by name.
        gpus: that it asks for.
    """

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)
    gpus: int = 0


@dataclass(frozen=True)
class Time:
    """Seconds of one job and where the number comes from: "measured", "stated" or ""."""

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


def jobs_of(dry_run: str) -> list[Job]:
    """Return the jobs that the output of ``snakemake --dry-run --nocolor`` lists."""
    found = []
    for rule, body in _BLOCK.findall(dry_run):
        listed = _WILDCARDS.search(body)
        pairs = (pair.split("=", 1) for pair in listed[1].split(", ")) if listed else ()
        gpus = _GPU.search(body)
        found.append(Job(rule, dict(pairs), int(gpus[1]) if gpus else 0))
    return found


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
    """Return the lines as text, with their sum."""
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
