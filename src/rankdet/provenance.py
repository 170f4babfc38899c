"""Provenance recorded with every result: machine, versions and state of the code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("rankdet", "torch", "mmengine", "mmdet", "mmcv", "numpy", "pycocotools")


def machine() -> dict:
    """Return CPU, cores, memory and GPU; nothing that identifies the host."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {"cpu": _processor(), "cores": os.cpu_count(), "memory_gib": round(memory), "gpu": gpu}


def versions() -> dict:
    """Return the versions of Python and of what influences a result, and mmcv's operators."""
    import torch

    from rankdet import ops

    found: dict[str, str | None] = {"python": platform.python_version(), "cuda": torch.version.cuda}
    found |= {package: installed_version(package) for package in PACKAGES}
    found["torch"] = str(torch.__version__)  # names the build (+cpu, +cu130); metadata may not
    ops.install()  # does nothing if they are
    found["operators"] = ops.in_use()
    return found


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, None without it; mmcv-lite counts as mmcv."""
    for name, mark in ((package, ""), (f"{package}-lite", " (lite)")):
        try:
            return importlib.metadata.version(name) + mark
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def code_state() -> str | None:
    """Return the commit of the checkout, with ``-modified`` if it has changes; else None.

    A container image has no checkout: its build stores the commit in ``RANKDET_REVISION``.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return os.environ.get("RANKDET_REVISION") or None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + ("-modified" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    run = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=20
    )
    return run.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
