"""The device, and timing on it."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable

import torch

from rankdet import provenance


def describe(device: torch.device) -> dict[str, str]:
    """Return device, driver and versions, to report with every figure."""
    about = {"device": provenance.machine()["cpu"], "driver": "", "capability": ""}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about["device"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
        about["driver"] = _driver()
        about["capability"] = f"{properties.major}.{properties.minor}"
    versions = {name: str(found) for name, found in provenance.versions().items()}
    return about | versions | {"code": str(provenance.code_state())}


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    run = subprocess.run(command, text=True, capture_output=True, check=False)
    return run.stdout.strip().splitlines()[0] if run.returncode == 0 else "unknown"


def milliseconds(run: Callable[[], object], device: torch.device, rounds: int, warm: int) -> float:
    """Return the median time of ``run``: between events of the device's queue, or wall time."""
    for _ in range(warm):
        run()
    taken = []
    for _ in range(rounds):
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(device)
            start.record()
            run()
            end.record()
            torch.cuda.synchronize(device)
            taken.append(start.elapsed_time(end))
        else:
            begin = time.perf_counter()
            run()
            taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)


def take_turns(
    runs: dict[str, Callable[[], object]], device: torch.device, rounds: int, warm: int
) -> dict[str, float]:
    """Return the median milliseconds of each candidate; they alternate, round by round."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(warm):
        for run in runs.values():
            run()
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(milliseconds(run, device, 1, 0))
    return {name: statistics.median(times) for name, times in taken.items()}
