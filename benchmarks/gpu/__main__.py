"""`python -m benchmarks.gpu` (make gpu-check): all parts on one GPU, into results/reference/gpu.

If a part fails, it is reported and the others continue; the exit status is 0 only if nothing
failed, disagreed or missed its goal.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import traceback
from pathlib import Path

import torch

from benchmarks.gpu.goldens import goldens
from benchmarks.gpu.losses import agreement, times
from benchmarks.gpu.machine import describe
from benchmarks.gpu.pools import pools
from benchmarks.gpu.report import write_page, write_part
from benchmarks.gpu.steps import pairs, speeds
from benchmarks.gpu.synchronizations import UNAVOIDABLE

FOLDER = Path(__file__).parents[2] / "results/reference/gpu"
# Part -> title, measurement, test for a bad row.
PARTS = {
    "goldens": (
        "Recorded outputs of the official code",
        goldens,
        lambda row: row["agree"] is None or row["agree"] < row["of"],
    ),
    "agreement": (
        "Losses: this device against the CPU",
        agreement,
        lambda row: (
            row["gradient off by, of its largest"] > 1e-5 or not row["bit-equal when repeated"]
        ),
    ),
    "losses": (
        "Losses: forward and backward",
        times,
        lambda row: (
            (row["host waits"] or 0) > UNAVOIDABLE
            or (row["exact ms"] > row.get("goal ms", math.inf))
        ),
    ),
    "pools": ("Ranking pools", pools, lambda row: not row["agree"]),
    "steps": (
        "Training steps and their standard counterparts",
        pairs,
        lambda row: row["row / control"] > row["goal"],
    ),
    "speeds": ("Options for speed", speeds, lambda row: False),
}


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, only to test that it runs"
    )
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("expected a CUDA GPU; torch sees none; see `make doctor`, or --device cpu --quick")
        return 2
    found: dict[str, list[dict]] = {}
    failures: list[str] = []
    machine = describe(device)
    for name in options.parts:
        _, measure, is_wrong = PARTS[name]
        rows = found[name] = []
        try:
            for row in measure(device, options.quick):
                print(f"{name}: {row}", flush=True)
                rows.append(row)
        except Exception as error:
            traceback.print_exc()
            failures.append(f"{name} failed: {type(error).__name__}: {str(error)[:200]}")
        write_part(options.out, name, rows)
        judged = device.type == "cuda" or name in ("goldens", "agreement", "pools")
        bad = sum(is_wrong(row) for row in rows) if judged else 0
        if bad:
            failures.append(f"{name}: {bad} of {len(rows)} rows")
        # After every part, so that a session that ends early keeps its results.
        parts = {each: (PARTS[each][0], found.get(each, [])) for each in PARTS}
        write_page(options.out, machine, parts, failures)
    for failure in failures:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.INFO)  # mmengine logs how each weight was initialized
    sys.exit(main())
