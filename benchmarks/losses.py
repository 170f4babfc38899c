"""Time the losses, forward and backward, against a plain loop and the bucketed form.

`python -m benchmarks.losses` (make bench-losses) writes results/reference/losses/bench.{csv,md,svg,
png} and fails if a goal is missed. Times are CPU seconds of one thread, medians of rounds in which
the implementations alternate, so that other work on the machine has little and equal effect.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.losses_problems import CONTESTANTS, DISTRIBUTIONS, SIZES, problem
from benchmarks.losses_report import floors_missed, write_report

FOLDER = Path(__file__).parents[1] / "results/reference/losses"
# The loop takes minutes at the last size: one run is enough for its order of magnitude.
ROUNDS = {100: (21, 21), 500: (11, 15), 2_000: (3, 11), 5_000: (1, 7), 1_000: (1, 3)}


def seconds(run, inputs) -> float:
    start = time.thread_time()
    run(*inputs)
    return time.thread_time() - start


def memory(loss: str, way: str, distribution: str, positives: int, negatives: int) -> float:
    """Peak memory beyond the inputs, in arrays of N float64."""
    arguments = [loss, way, distribution, str(positives), str(negatives)]
    command = [sys.executable, "-m", "benchmarks.losses_memory", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure(loss: str, distribution: str, positives: int, negatives: int, loop: bool) -> dict:
    """One row: medians per implementation."""
    inputs = problem(distribution, positives, negatives)
    of_loop, of_others = ROUNDS[positives]
    taken = {way: [] for way in CONTESTANTS[loss] if loop or way != "loop"}
    for way, run in CONTESTANTS[loss].items():
        if way != "loop" and negatives < 10_000_000:
            run(*inputs)  # warm up
    for each in range(of_others):
        for way, times in taken.items():
            if way != "loop" or each < of_loop:
                times.append(seconds(CONTESTANTS[loss][way], inputs))
    row = {"loss": loss, "distribution": distribution, "P": positives, "N": negatives}
    row |= {way: 1000 * statistics.median(times) for way, times in taken.items()}
    for way in taken:
        if way != "loop" and negatives >= 1_000_000:
            row[f"{way} memory"] = memory(loss, way, distribution, positives, negatives)
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the report")
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="only the first sizes")
    parser.add_argument("--keep", type=Path, help="file of rows; a stopped run resumes from it")
    parser.add_argument("--no-long-loop", action="store_true", help="no loop at the last size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    if options.keep and options.keep.exists():
        rows = [json.loads(line) for line in options.keep.read_text().splitlines()]
    known = {(row["loss"], row["distribution"], row["N"]) for row in rows}
    for positives, negatives in SIZES[: options.sizes]:
        for distribution in DISTRIBUTIONS:
            for loss in CONTESTANTS:
                if (loss, distribution, negatives) in known:
                    continue
                loop = not (options.no_long_loop and negatives > 10_000_000)
                rows.append(measure(loss, distribution, positives, negatives, loop))
                print(rows[-1], flush=True)
                if options.keep:
                    with options.keep.open("a") as stream:
                        stream.write(json.dumps(rows[-1]) + "\n")
    write_report(options.out, rows)
    missed = floors_missed(rows)
    for each in missed:
        print(f"goal missed: {each}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
