"""Recorded outputs of the official losses and heads, replayed on the device."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/golden/data"


def goldens(device: torch.device, quick: bool) -> Iterator[dict]:
    """Replay the losses and the heads; the first lines of what does not agree are kept."""
    limits = {"losses": ["--variant", "ap"], "heads": ["--only", "rs.atss"]} if quick else {}
    for kind in ("losses", "heads"):
        command = [sys.executable, "-m", f"tests.golden.replay_{kind}", str(DATA / kind)]
        command += ["--device", str(device), *limits.get(kind, [])]
        run = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
        found = re.search(r"(\d+) of (\d+) agree\s*$", run.stdout)
        misses = [line.strip() for line in run.stdout.splitlines() if _is_miss(line)]
        yield {
            "recorded": kind,
            "agree": int(found[1]) if found else None,
            "of": int(found[2]) if found else None,
            "misses": "; ".join(misses[:20]) or ("" if found else run.stderr.strip()[-300:]),
        }


def _is_miss(line: str) -> bool:
    return line.startswith(("MISS", "    "))
