"""`rankdet doctor`: each check with a name, a finding and a fix."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rankdet.cli.app import app
from rankdet.provenance import installed_version

# The suite passed with each (what was run, and reasons: envs/README.md).
TESTED = {
    "torch": ("2.13.0", "2.14.1"),
    "mmengine": ("0.10.7",),
    "mmdet": ("3.3.0",),
    "mmcv": ("2.1.0",),
}
SHARED_MEMORY_GIB = 1.0  # data-loading workers pass batches through it
DISK_GIB = 5.0
REBUILD = "make clean-wheel env, or without a compiler: make env OPS=builtin"


@dataclass(frozen=True)
class Check:
    """One finding, and how to fix it."""

    name: str
    found: str
    good: bool
    fix: str = ""


def run_checks(software_only: bool = False) -> Iterator[Check]:
    """Yield the checks; an exception in a check is reported as its finding.

    Args:
        software_only: skip GPU, shared memory and disk, which depend on where an image runs.
    """
    yield _python()
    yield from _versions()
    software = (
        ("operators", _operators, REBUILD),
        ("NMS", _nms, REBUILD),
        ("RoIAlign", _roi_align, REBUILD),
        ("mmdet registry", _registry, "reinstall the environment: make env"),
    )
    machine = (
        ("GPU", _gpu, "check the driver: nvidia-smi"),
        ("NMS on the GPU", _gpu_nms, "compile mmcv for this GPU: make env TORCH=cuda OPS=mmcv"),
        ("shared memory", _shared_memory, "start the container with --shm-size 8g"),
        ("free disk here", _disk, f"free at least {DISK_GIB:.0f} GiB"),
    )
    for name, check, fix in software if software_only else (*software, *machine):
        yield _guarded(name, check, fix)


def _guarded(name: str, check: Callable[[], tuple[str, bool]], fix: str) -> Check:
    try:
        found, good = check()
    except Exception as error:
        found, good = f"{type(error).__name__}: {error}", False
    return Check(name, found, good, fix)


def _python() -> Check:
    version = platform.python_version()
    good = (3, 11) <= tuple(int(part) for part in version.split(".")[:2]) <= (3, 12)
    return Check("Python", version, good, "use Python 3.11 or 3.12")


def _versions() -> Iterator[Check]:
    for package, tested in TESTED.items():
        version = installed_version(package)
        if version is None:
            yield Check(package, "not installed", False, "make env")
            continue
        good = version.partition("+")[0].removesuffix(" (lite)") in tested
        yield Check(package, version, good, f"tested with {', '.join(tested)}: make env")


def _operators() -> tuple[str, bool]:
    from rankdet import ops

    ops.install()
    in_use = ops.in_use()
    if not in_use.startswith("mmcv"):
        return f"{in_use}; nothing is compiled", True
    from mmcv.ops import get_compiler_version, get_compiling_cuda_version

    return f"{in_use}, {get_compiler_version()}, CUDA {get_compiling_cuda_version()}", True


def _nms() -> tuple[str, bool]:
    import torch
    from mmcv.ops import nms

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    return f"keeps {kept.tolist()} of 3 boxes", kept.tolist() == [0, 2]


def _roi_align() -> tuple[str, bool]:
    import torch
    from mmcv.ops import RoIAlign

    ramp = torch.arange(8.0).repeat(1, 1, 8, 1)  # mmcv's kernel needs contiguous memory
    pooled = RoIAlign(1, 1.0, 2)(ramp, torch.tensor([[0.0, 2, 2, 6, 6]]))
    # The mean of a ramp over pixels 2..6, pixel centers at .5.
    return f"mean of a ramp {pooled.item():.3f}", abs(pooled.item() - 3.5) < 1e-4


def _registry() -> tuple[str, bool]:
    from mmdet.registry import MODELS

    import rankdet.models  # noqa: F401

    names = ("RankedRetinaHead", "RankedATSSHead", "RankedRPNHead", "RankedShared2FCBBoxHead")
    missing = [name for name in names if MODELS.get(name) is None]
    return f"{len(names) - len(missing)} of {len(names)} heads", not missing


def _gpu() -> tuple[str, bool]:
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        return f"none (torch built for {'CUDA ' + built if built else 'the CPU'})", True
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    torch.ones(8, device="cuda").sum().item()
    return ", ".join(names), True


def _gpu_nms() -> tuple[str, bool]:
    """Run a compiled operator on the GPU: a wheel built for other GPUs fails only here."""
    import torch
    from mmcv.ops import nms

    if not torch.cuda.is_available():
        return "no GPU", True
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11]], device="cuda")
    _, kept = nms(boxes, torch.tensor([0.9, 0.8], device="cuda"), 0.5)
    return f"keeps {kept.tolist()} of 2 boxes", kept.tolist() == [0]


def _shared_memory() -> tuple[str, bool]:
    path = Path("/dev/shm")
    if not path.exists():
        return "no /dev/shm", False
    size = shutil.disk_usage(path).total / 2**30
    return f"{size:.1f} GiB", size >= SHARED_MEMORY_GIB


def _disk() -> tuple[str, bool]:
    free = shutil.disk_usage(".").free / 2**30
    return f"{free:.0f} GiB", free >= DISK_GIB


@app.command("doctor")
def doctor(
    software: Annotated[
        bool,
        typer.Option("--software", help="Check only the installed software, not this machine."),
    ] = False,
) -> None:
    """Check versions, compiled operators, GPU, shared memory and disk; say how to fix problems."""
    from rich.console import Console
    from rich.table import Table

    from rankdet.cli.doctor import run_checks

    table = Table(title="rankdet doctor", title_justify="left")
    for column in ("check", "found", "verdict"):
        table.add_column(column, overflow="fold")
    failed = 0
    for check in run_checks(software):
        failed += not check.good
        verdict = "[green]ok[/]" if check.good else f"[red]problem:[/] {check.fix}"
        table.add_row(check.name, check.found, verdict)
    Console().print(table)
    if failed:
        raise typer.Exit(1)
