"""Read and check the files in ``results/<preset>/<entry>/``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankdet.catalogue import Catalogue, Entry
from rankdet.errors import InputError
from rankdet.report.result_files import (
    Numbers,
    read_curves,
    read_metrics,
    read_run,
    read_status,
    read_training,
)


@dataclass(frozen=True)
class Result:
    """One evaluated entry.

    Attributes:
        entry: the entry of the catalogue.
        folder: of the files.
        metrics: by IoU type ("bbox", "segm") and metric name, in [0, 1]; None if undefined.
        run: provenance, the content of ``run.json``; empty if there is none.
    """

    entry: Entry
    folder: Path
    metrics: dict[str, Numbers]
    run: dict[str, Any] = field(default_factory=dict)

    def metric(self, iou_type: str, name: str) -> float | None:
        """Return a metric in percent, as in the papers, or None."""
        value = self.metrics.get(iou_type, {}).get(name)
        return None if value is None else 100 * value

    @property
    def main_iou_type(self) -> str:
        """The IoU type for figures with one value per entry: masks for a detector without boxes."""
        has_boxes = "bbox" in self.entry.iou_types
        preferred = ("bbox", "segm") if has_boxes else ("segm", "bbox")
        return next(kind for kind in preferred if kind in self.metrics)

    @property
    def data(self) -> dict[str, Any]:
        """The description of the data in ``run.json``; empty if there is none."""
        data = self.run.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def data_name(self) -> str:
        """The data set that ``run.json`` names, or ''."""
        return str(self.data.get("name") or "")

    def training(self) -> list[dict[str, Any]]:
        """Return the lines of ``training.jsonl``; [] if there is no such file."""
        path = self.folder / "training.jsonl"
        return read_training(path) if path.is_file() else []

    def curves(self) -> dict[str, Any]:
        """Return ``curves.json`` of the main IoU type; {} if missing, or without annotations."""
        path = self.folder / "curves.json"
        return read_curves(path, self.main_iou_type) if path.is_file() else {}


def read_results(
    catalogue: Catalogue,
    results: str | Path,
    preset: str,
    entries: Iterable[str] | None = None,
) -> dict[str, Result]:
    """Read every finished evaluation in ``results``, in the order of the catalogue.

    Args:
        catalogue: the known entries.
        results: the folder of one preset, such as ``results/demo``.
        preset: its name; results with another one in their provenance are refused.
        entries: only these ids.

    Raises:
        InputError: if the folder is missing, an id is unknown, or a file is invalid.
    """
    folder = Path(results)
    if not folder.is_dir():
        raise InputError(
            f"the results of preset {preset}", f"no folder at {folder}", "run the preset first"
        )
    chosen = list(catalogue) if entries is None else [catalogue[name] for name in entries]
    return {
        entry.entry_id: _read(entry, folder / entry.entry_id, preset)
        for entry in chosen
        if (folder / entry.entry_id / "metrics.json").is_file()
    }


def why_missing(folder: Path, entry_id: str) -> str:
    """Return why the published weights of an entry are missing, or "" if they are not.

    Args:
        folder: the results of one preset; `rankdet fetch checkpoint` writes ``weights.json`` there.
        entry_id: of the catalogue.
    """
    path = folder / entry_id / "weights.json"
    return read_status(path) if path.is_file() else ""


def _read(entry: Entry, folder: Path, preset: str) -> Result:
    metrics = read_metrics(folder / "metrics.json")
    run_path = folder / "run.json"
    run = read_run(run_path) if run_path.is_file() else {}
    for key, expected in (("preset", preset), ("entry", entry.entry_id)):
        if run.get(key, expected) != expected:
            raise InputError(
                f"{key} {expected} in {run_path}",
                repr(run[key]),
                "the folder was renamed or copied: run the entry again",
            )
    return Result(entry, folder, metrics, run)
