"""A small copy of recordings for the suite: ``python -m tests.golden.end_to_end.trim FULL OUT``.

Every setup, schedule and learning rate is kept. Of each entry the first batches and the detections
of one image are kept; weights and batches only of as many entries as fit the budget, smallest
first (setup and schedule of the others are still replayed). Of the pipelines one image and its
first seeds are kept. What a copy lacks, the replay skips with its reason.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

from tests.golden.end_to_end.cases import Case, read_cases

BATCHES = 3
IMAGES = 1
SEEDS = 3
BUDGET = 16.0  # MB of weights and batches
KNOWN_SEEDS = re.compile(r"^(?:[A-Z]\w+|chain)_(\d+)_(\d+)_\w+$")
FLIPPED = re.compile(r"^\w+_f[01]_(\d+)_\w+$")


def trim(full: Path, out: Path, budget: float = BUDGET, batches: int = BATCHES) -> None:
    """Write the small copy of ``full`` to ``out``, in place of what is there."""
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    if (full / "recipe.py").is_file():
        # As it is but for a line that keeps our rules of style away from it.
        text = (full / "recipe.py").read_text()
        (out / "recipe.py").write_text(f"# fmt: off\n# ruff: noqa: E501\n{text}")
    for pattern in ("lr_*.json", "lvis_*.json"):
        for path in sorted(full.glob(pattern)):
            _write_json(out / path.name, json.loads(path.read_text()))
    kept = [case for case in read_cases(full) if _write_small(case, out / case.name, batches)]
    spent = 0.0
    for case in sorted(kept, key=lambda case: _size(case, out)):
        size = _size(case, out)
        spent += size
        if spent > budget:
            (out / case.name / "batches.npz").unlink()
            continue
        for name in ("weights_extra.npz", "tensors.json"):
            if not case.lacks(name):
                shutil.copyfile(case.folder / name, out / case.name / name)
        _write_detections(case, out / case.name)
    for path in sorted(full.glob("props_*.npz")):
        if (out / path.stem.removeprefix("props_") / "batches.npz").is_file():
            shutil.copyfile(path, out / path.name)
    for path in sorted(full.glob("pipeline_*.npz")):
        with np.load(path) as archive:
            small = {name: archive[name] for name in archive.files if _is_early(name)}
        np.savez_compressed(out / path.name, **small)


def _is_early(name: str) -> bool:
    """Tell whether an array of a pipeline is of the first images and seeds, or of none."""
    if found := KNOWN_SEEDS.match(name):
        return int(found[1]) < IMAGES and int(found[2]) < SEEDS
    if found := FLIPPED.match(name):
        return int(found[1]) < IMAGES
    if found := re.match(r"^test_(\d+)_", name):
        return int(found[1]) < IMAGES
    return True


def _write_small(case: Case, folder: Path, batches: int) -> bool:
    """Write setup, trajectory and the first batches of a case; tell whether it has batches."""
    folder.mkdir()
    if case.setup:
        setup = dict(case.setup)
        # Of the arguments only what the replay reads: the others name files of that machine.
        said = [word for word in setup.pop("args", ()) if str(word).startswith("period=")]
        _write_json(folder / "setup.json", setup | ({"args": said} if said else {}))
    if not case.lacks("trajectory.json"):
        _write_json(folder / "trajectory.json", case.json("trajectory.json")[:batches])
    if case.lacks("batches.npz"):
        return False
    early = tuple(f"b{index}_" for index in range(batches))
    small = {name: value for name, value in case.batches.items() if name.startswith(early)}
    # The network's input is compared in the full recording; it is the largest array of a batch.
    small = {name: value for name, value in small.items() if not name.endswith("_tensor")}
    np.savez_compressed(folder / "batches.npz", **small)
    return True


def _write_detections(case: Case, folder: Path) -> None:
    if case.lacks("image_ids.json"):
        return
    images = case.json("image_ids.json")[:IMAGES]
    _write_json(folder / "image_ids.json", images)
    for name in ("detections.bbox.json", "detections.segm.json"):
        if not case.lacks(name):
            rows = [row for row in case.json(name) if row["image_id"] in images]
            _write_json(folder / name, rows)


def _size(case: Case, out: Path) -> float:
    """Return the megabytes of a case's weights and small batches."""
    files = (case.folder / "weights_extra.npz", out / case.name / "batches.npz")
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("full", type=Path, help="folder of the whole recordings")
    parser.add_argument("out", type=Path, help="folder to write; replaced if it exists")
    parser.add_argument("--budget", type=float, default=BUDGET, help="MB of weights and batches")
    parser.add_argument("--batches", type=int, default=BATCHES, help="of each entry")
    options = parser.parse_args(arguments)
    trim(options.full, options.out, options.budget, options.batches)
    return 0


if __name__ == "__main__":
    sys.exit(main())
