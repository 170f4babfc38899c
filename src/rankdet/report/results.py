"""What a run left in ``results/<preset>/<entry>/``, checked as it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankdet.catalogue import Catalogue, Entry
from rankdet.errors import InputError
from rankdet.files import read_json

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class Result:
    """One evaluated entry.

    Attributes:
        entry: the entry of the catalogue.
        folder: where the files lie.
        metrics: by IoU type ("bbox", "segm") and metric name, 0-1; None where nothing is present.
        run: provenance, the content of ``run.json``; empty if there is none.
    """

    entry: Entry
    folder: Path
    metrics: dict[str, Numbers]
    run: dict[str, Any] = field(default_factory=dict)

    def metric(self, iou_type: str, name: str) -> float | None:
        """Return a metric in percent, as the papers print it, or None."""
        value = self.metrics.get(iou_type, {}).get(name)
        return None if value is None else 100 * value

    @property
    def main_iou_type(self) -> str:
        """What a figure of one value per entry shows: masks of a detector without boxes."""
        masks_only = bool(self.entry.loss_mask) and not self.entry.loss_bbox
        preferred = ("segm", "bbox") if masks_only else ("bbox", "segm")
        return next(kind for kind in preferred if kind in self.metrics)

    @property
    def data_name(self) -> str:
        """The data set that ``run.json`` names, or ''."""
        data = self.run.get("data")
        return str(data.get("name", "") if isinstance(data, dict) else data or "")

    def training(self) -> list[dict[str, Any]]:
        """Return the lines of ``training.jsonl``; [] if there is no such file."""
        path = self.folder / "training.jsonl"
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                row["iteration"] = int(row["iteration"])
                rows.append(row)
            except (ValueError, TypeError, KeyError) as error:
                if number < len(lines):  # the last line may be torn by a kill
                    raise InputError(
                        'lines like {"iteration": 10, "loss": 1.5}',
                        f"{path}, line {number}: {error}",
                        "train the entry again",
                    ) from None
        return rows

    def curves(self) -> dict[str, Any]:
        """Return ``curves.json`` of the main IoU type; {} if there is none."""
        path = self.folder / "curves.json"
        if not path.is_file():
            return {}
        document = _object(path, "the curves of an evaluation")
        curves = document.get(self.main_iou_type, {})
        if curves and not {"recall", "precision"} <= curves.keys():
            raise InputError(
                'curves with "recall" and "precision"', str(path), "evaluate the entry again"
            )
        return curves


def read_results(
    catalogue: Catalogue,
    results: str | Path,
    preset: str,
    entries: Iterable[str] | None = None,
) -> dict[str, Result]:
    """Read every finished evaluation below ``results``, in the order of the catalogue.

    Args:
        catalogue: which entries there are.
        results: the folder of one preset, such as ``results/demo``.
        preset: its name; provenance that says otherwise is refused.
        entries: only these ids.

    Raises:
        InputError: if the folder is missing, an id is unknown, or a file is broken.
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
    """Return why the published weights of an entry are missing, or "" if nothing says so.

    Args:
        folder: the results of one preset; `rankdet fetch checkpoint` writes ``weights.json`` there.
        entry_id: of the catalogue.
    """
    path = folder / entry_id / "weights.json"
    if not path.is_file():
        return ""
    status = _object(path, "a status of published weights")
    return str(status.get("reason", "unknown")) if status.get("state") == "missing" else ""


def _read(entry: Entry, folder: Path, preset: str) -> Result:
    path = folder / "metrics.json"
    document = _object(path, "metrics of an evaluation")
    metrics = {kind: document[kind] for kind in ("bbox", "segm") if document.get(kind)}
    for kind, numbers in metrics.items():
        if not isinstance(numbers, dict) or not all(map(_is_fraction, numbers.values())):
            raise InputError(
                f'{path}: "{kind}" with numbers from 0 to 1', "something else", "evaluate again"
            )
    if not metrics:
        raise InputError(f'{path} with "bbox" or "segm"', "neither", "evaluate the entry again")
    run_path = folder / "run.json"
    run = _object(run_path, "provenance of a run") if run_path.is_file() else {}
    for key, wish in (("preset", preset), ("entry", entry.entry_id)):
        if run.get(key, wish) != wish:
            raise InputError(
                f"{run_path} to be of {key} {wish}", repr(run[key]), "the folder was moved: rerun"
            )
    return Result(entry, folder, metrics, run)


def _object(path: Path, what: str) -> dict[str, Any]:
    document = read_json(path, what)
    if not isinstance(document, dict):
        raise InputError(f"{what}, a JSON object", f"{path}, another value", "write it again")
    return document


def _is_fraction(value: object) -> bool:
    return value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    )
