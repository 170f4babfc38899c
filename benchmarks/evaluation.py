"""CPU time, peak memory and numbers of evaluators on the same data: ``make bench-evaluation``.

Each evaluator runs in its own process with one thread. Packages that are not installed are named
and left out; every number that two evaluators share is compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.evaluation_run import EVALUATORS

FOLDER = Path(__file__).parents[1] / "results/reference/evaluation"
NOT_INSTALLED = "not installed"
STAGES = ("read", "evaluate", "oLRP")


class Load(NamedTuple):
    """A synthetic data set, and who is the reference and who takes minutes."""

    what: str
    iou_type: str
    protocol: str
    options: tuple[str, ...]
    reference: str
    others: tuple[str, ...]


RUST = ("hotcoco", "ultrafast-pycocotools", "vernier")
OURS = ("rankdet", "rankdet, parsed JSON given")
LOADS = {
    "boxes": Load(
        "5000 images, 80 classes, 36000 annotations, 500000 detections",
        "bbox",
        "coco",
        ("--images", "5000", "--objects", "36000", "--per-image", "100"),
        "pycocotools",
        (*OURS, *RUST, "faster-coco-eval"),
    ),
    "masks": Load(
        "2000 images, 80 classes, 14400 annotations, 100000 detections",
        "segm",
        "coco",
        ("--images", "2000", "--objects", "14400", "--per-image", "50", "--with-masks"),
        "pycocotools",
        (*OURS, *RUST, "faster-coco-eval"),
    ),
    "LVIS": Load(
        "5000 images, 1203 classes, 50000 annotations, 1500000 detections",
        "bbox",
        "lvis",
        (
            *("--images", "5000", "--objects", "50000", "--per-image", "300"),
            *("--classes", "1203", "--palette-size", "10", "--lvis"),
        ),
        "lvis-api",
        (*OURS, *RUST, "faster-coco-eval"),
    ),
}
SLOW = ("pycocotools", "lvis-api", "faster-coco-eval")  # one run


def installed(name: str) -> str:
    """Return the version of an evaluator's package, or that it is not installed."""
    package = EVALUATORS[name][0]
    if package == "rankdet":
        return "this tree"
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def run(name: str, folder: Path, load: Load) -> dict[str, Any]:
    """Run one evaluator; CPU of the process and peak memory are those that the kernel counted."""
    one_thread = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1"
    )
    command = [sys.executable, "-m", "benchmarks.evaluation_run", name, str(folder)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*command, load.iou_type, load.protocol],
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=os.environ | one_thread,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines()
    if process.returncode or not lines:
        return {"error": f"exit code {process.returncode}"}
    result = json.loads(lines[-1])
    result["process_cpu_s"] = usage.ru_utime + usage.ru_stime
    result["peak_mib"] = usage.ru_maxrss / 1024
    return result


def cpu(result: dict[str, Any]) -> float:
    """CPU seconds of reading and evaluating; without a second pass for oLRP."""
    return sum(result["seconds"].get(stage, 0.0) for stage in STAGES[:2])


def measure(load: Load, folder: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """Return the run of each evaluator that took the least CPU time; others include more noise."""
    best: dict[str, dict[str, Any]] = {}
    for repeat in range(repeats):
        for name in (load.reference, *load.others):
            if installed(name) == NOT_INSTALLED:
                best[name] = {"error": NOT_INSTALLED}
            elif repeat == 0 or (name not in SLOW and "error" not in best[name]):
                result = run(name, folder, load)
                if repeat == 0 or ("error" not in result and cpu(result) < cpu(best[name])):
                    best[name] = result
    return best


def differences(
    numbers: dict[str, float | None], reference: dict[str, float | None]
) -> dict[str, float]:
    """Return how much each number differs that both have; -1 of the toolkits is no number."""
    shared = {}
    for name in numbers.keys() & reference.keys():
        own, other = (None if v == -1 else v for v in (numbers[name], reference[name]))
        if own is not None and other is not None:
            shared[name] = abs(own - other)
        else:
            shared[name] = 0.0 if own is other else float("inf")
    return shared


def table(name: str, load: Load, results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per evaluator."""
    measured = {key: each for key, each in results.items() if "error" not in each}
    reference = load.reference if load.reference in measured else "rankdet"
    fastest = min(cpu(each) for each in measured.values())
    rows = []
    for evaluator, result in results.items():
        row: dict[str, Any] = {
            "load": name,
            "evaluator": evaluator,
            "version": installed(evaluator),
        }
        if "error" in result:
            rows.append(row | {"remark": result["error"]})
            continue
        numbers = result["numbers"]
        plain = {key: value for key, value in numbers.items() if not key.startswith("oLRP")}
        differs = differences(plain, measured[reference]["numbers"])
        seconds = result["seconds"]
        row |= {f"{stage}_cpu_s": round(seconds[stage], 3) for stage in STAGES if stage in seconds}
        row |= {
            "cpu_s": round(cpu(result), 3),
            "times_fastest": round(cpu(result) / fastest, 2),
            "process_cpu_s": round(result["process_cpu_s"], 3),
            "peak_mib": round(result["peak_mib"], 1),
            "shared_numbers": len(differs),
            "compared_with": reference,
            "largest_difference": max(differs.values()),
            "oLRP": numbers.get("oLRP"),
        }
        rows.append(row)
    return rows


def bench(loads: dict[str, Load], repeats: int) -> list[dict[str, Any]]:
    rows = []
    for name, load in loads.items():
        with tempfile.TemporaryDirectory() as folder:
            make = [sys.executable, "-m", "benchmarks.evaluation_data", folder, *load.options]
            subprocess.run(make, check=True)
            found = table(name, load, measure(load, Path(folder), repeats))
        for row in found:
            print(row, flush=True)
        rows += found
    return rows


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} cores"
    return platform.processor()


def _cells(row: dict[str, Any]) -> list[str]:
    start = [row["load"], row["evaluator"]]
    if "remark" in row:
        return [*start, row["version"].replace(NOT_INSTALLED, "-"), row["remark"], *[""] * 7]

    def seconds(stage: str) -> str:
        return f"{row[stage]:.2f}" if stage in row else ""

    ours = row["evaluator"].startswith("rankdet")
    return [
        *start,
        row["version"],
        seconds("read_cpu_s"),
        seconds("evaluate_cpu_s"),
        f"{row['cpu_s']:.2f}",
        f"{row['times_fastest']:.2f}",
        "same pass" if ours else seconds("oLRP_cpu_s") or "-",
        "-" if row["oLRP"] is None else f"{row['oLRP']:.6f}",
        f"{row['peak_mib']:.0f}",
        f"{row['shared_numbers']} of {row['compared_with']}: "
        + ("equal" if not row["largest_difference"] else f"{row['largest_difference']:.1g}"),
    ]


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page of the benchmark."""
    header = (
        *("load", "evaluator", "version", "read, CPU s", "evaluate, CPU s", "both, CPU s"),
        *("times the fastest", "oLRP, CPU s", "oLRP", "peak MiB", "shared numbers, difference"),
    )
    loads = dict.fromkeys(row["load"] for row in rows)
    lines = [
        "# Evaluators compared",
        "",
        f"{date.today()}, {processor()}, one thread, Python {platform.python_version()}, "
        f"numpy {version('numpy')}, msgspec {version('msgspec')}. Least CPU time (user and system) "
        f"of several runs, of {', '.join(SLOW)} one run; peak resident memory of the process as "
        "counted by the kernel, imports included. Files are read from the disk cache; imports are "
        "not timed. `make bench-evaluation` writes this page; evaluators that are not installed "
        "are left out.",
        "",
        *(f"- {name}: {LOADS[name].what}." for name in loads if name in LOADS),
        "",
        "`rankdet, parsed JSON given` gets the parsed lists, whose parsing is not timed. oLRP of "
        "vernier is the lowest of a grid of 101 scores, in a second pass; of rankdet the lowest of "
        "all prefixes.",
        "",
        "| " + " | ".join(header) + " |",
        "| --- | --- | --- |" + " ---: |" * 7 + " --- |",
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def write(rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "bench.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (folder / "bench.md").write_text(page(rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--load", choices=LOADS, action="append", help="default: all")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    chosen = {name: LOADS[name] for name in arguments.load or LOADS}
    measured = bench(chosen, arguments.repeats)
    write(measured, arguments.out)
    worst = [row for row in measured if row.get("largest_difference", 0) > 1e-9]
    if worst:
        raise SystemExit(f"numbers differ: {worst}")
