"""Recorded cases of the AP-Loss code base, what is compared, and who replays a kind of case."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# Of the recorded numbers; the losses are float32 here, what is not is float64.
SINGLE = 5e-6
ANCHORS = 1e-9
BOXES = 1e-6
PIXELS = 1e-3


def golden_folder() -> Path:
    """Where the cases are: $RANKDET_GOLDEN, the committed copy, or beside the checkout."""
    here = Path(__file__).parents[1] / "data/ap_code"
    if os.environ.get("RANKDET_GOLDEN"):
        return Path(os.environ["RANKDET_GOLDEN"]) / "ap_code"
    return here if here.is_dir() else Path(__file__).parents[4] / "shared/golden/ap_code"


@dataclass(frozen=True)
class Case:
    """One recorded case: its name, its line in the manifest, and where its arrays are."""

    name: str
    about: dict
    folder: Path

    @property
    def kind(self) -> str:
        return self.about["kind"]

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / self.about["file"]) as archive:
            return {name: archive[name] for name in archive.files}

    def tensor(self, name: str) -> Tensor:
        """Return an array as a tensor of its own."""
        return torch.from_numpy(self.arrays[name].copy())


@dataclass
class Check:
    """What was found in one case.

    Attributes:
        problems: one line for everything that does not agree.
        notes: agreements with a reservation.
        worst: the largest difference over its tolerance.
    """

    case: Case
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    worst: float = 0.0

    def require(self, holds: bool, problem: str) -> None:
        """Note ``problem`` unless ``holds``."""
        if not holds:
            self.problems.append(problem)

    def equal(self, name: str, ours, stored) -> None:
        """Compare what has to be equal, such as labels."""
        ours, stored = _array(ours), _array(stored)
        if ours.shape != stored.shape:
            self.problems.append(f"{name}: shape {ours.shape}, recorded {stored.shape}")
        elif not np.array_equal(ours, stored):
            self.problems.append(f"{name}: {int((ours != stored).sum())} of {stored.size} differ")

    def close(self, name: str, ours, stored, atol: float, over_largest: bool = False) -> None:
        """Compare within ``atol``, of the largest recorded entry if ``over_largest``."""
        ours, stored = _array(ours), _array(stored)
        if ours.shape != stored.shape:
            self.problems.append(f"{name}: shape {ours.shape}, recorded {stored.shape}")
            return
        if not stored.size:
            return
        limit = atol * float(np.abs(stored).max()) if over_largest else atol
        error = float(np.abs(ours.astype(np.float64) - stored).max())
        if not error <= limit:
            self.problems.append(f"{name}: off by {error:.3g}, tolerance {limit:.3g}")
        elif limit:
            self.worst = max(self.worst, error / limit)


def _array(value) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def read_cases(folder: Path) -> list[Case]:
    """Return the cases of a directory in the manifest's order."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return [Case(name, about, folder) for name, about in manifest["cases"].items()]


KINDS: dict[str, Callable[[Check], None]] = {}


def replays(kind: str) -> Callable:
    """Register a function that takes a check and fills it."""

    def register(function: Callable[[Check], None]) -> Callable:
        KINDS[kind] = function
        return function

    return register


def replay(case: Case) -> Check:
    """Replay one case."""
    check = Check(case)
    if case.kind not in KINDS:
        check.problems.append(f"kind {case.kind!r} is not known")
    else:
        KINDS[case.kind](check)
    return check
