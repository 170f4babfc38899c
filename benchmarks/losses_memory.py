"""Print the peak memory of one forward and backward pass in its own process, as N-float64 arrays.

Linux only: the high-water mark of the resident set is reset once the inputs exist.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from benchmarks.losses_problems import CONTESTANTS, problem


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def main() -> None:
    loss, way, distribution, positives, negatives = sys.argv[1:6]
    torch.set_num_threads(1)
    run = CONTESTANTS[loss][way]
    run(*problem(distribution, 10, 1_000))
    inputs = problem(distribution, int(positives), int(negatives))
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    run(*inputs)
    print((_resident("VmHWM") - before) / (8 * int(negatives)))


if __name__ == "__main__":
    main()
