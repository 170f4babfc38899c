"""Read and check the files in ``results/<preset>/<entry>/``; an error is one line with the file."""

from __future__ import annotations

import json
import math
import reprlib
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankdet.catalogue import Catalogue, Entry
from rankdet.catalogue.seeds import run_folders, seed_of
from rankdet.errors import InputError
from rankdet.files import read_json

Numbers = dict[str, float | None]

LARGEST = 1e12  # for counts and seconds; larger values are not measurements
PANELS = ("loss", "AP", "oLRP")  # drawn in the figures of a training


def read_metrics(path: Path) -> dict[str, Numbers]:
    """Return metrics by IoU type; None if there are no annotations."""
    document = read_object(path, "metrics of an evaluation", "evaluate the entry again")
    metrics = {kind: document[kind] for kind in ("bbox", "segm") if document.get(kind)}
    for kind, numbers in metrics.items():
        if not isinstance(numbers, dict) or not all(map(is_fraction, numbers.values())):
            raise InputError(
                f'{path}: "{kind}" with numbers from 0 to 1', "something else", "evaluate again"
            )
    if not metrics:
        raise InputError(f'{path} with "bbox" or "segm"', "neither", "evaluate the entry again")
    return metrics


def read_run(path: Path) -> dict[str, Any]:
    """Return the provenance of a run; keys may be missing, but values have the right type."""
    run = read_object(path, "provenance of a run", "run the entry again")
    for key, (fits, expected) in _RUN.items():
        if run.get(key) is not None and not fits(run[key]):
            got = reprlib.repr(run[key])
            raise InputError(f'{path}: "{key}" as {expected}', got, "run the entry again")
    return run


def read_status(path: Path) -> str:
    """Return why published weights are missing, or "" if they are not."""
    status = read_object(path, "a status of published weights", "fetch it again")
    state, reason = status.get("state"), status.get("reason", "unknown")
    if state not in ("available", "missing") or not isinstance(reason, str):
        raise InputError(
            f'{path} with "state" available or missing, and "reason" as text',
            "another value",
            "delete it and run `rankdet fetch checkpoint` again",
        )
    return reason if state == "missing" else ""


def read_training(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ``training.jsonl``; an incomplete last line is dropped."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("a training record in UTF-8", f"{path}: {error}", "train again") from None
    lines = [line for line in lines if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(_training_row(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                break
            raise InputError(
                'lines like {"iteration": 10, "loss": 1.5}',
                f"{path}, line {number}: {error}",
                "train the entry again",
            ) from None
    return rows


def _training_row(row: Any) -> dict[str, Any]:
    iteration = row["iteration"]
    if not _is_number(iteration) or not 0 <= iteration <= LARGEST:
        raise ValueError("an iteration that is not a count")
    for key in PANELS:
        # A training that diverged has NaN in its last line.
        if row.get(key) is not None and not _is_plain_number(row[key]):
            raise ValueError(f"{key} is not a number")
    return {**row, "iteration": int(iteration)}


def read_curves(path: Path, iou_type: str) -> dict[str, Any]:
    """Return the curves of one IoU type; {} if the data set has no annotations."""
    document = read_object(path, "the curves of an evaluation", "evaluate the entry again")
    curves = document.get(iou_type, {})
    if not isinstance(curves, dict):
        raise _bad_curves(path, f'"{iou_type}" that is not an object')
    if not {"recall", "precision", "score", "LRP"} & curves.keys():
        return {}
    if not {"recall", "precision"} <= curves.keys():
        raise _bad_curves(path, 'no "recall" or no "precision"')
    if not isinstance(curves["precision"], dict):
        raise _bad_curves(path, '"precision" that is not an object')
    if "LRP" in curves and "score" not in curves:
        raise _bad_curves(path, '"LRP" without "score"')
    lists = {name: curves[name] for name in ("recall", "score", "LRP") if name in curves}
    for name, values in [*lists.items(), *curves["precision"].items()]:
        if not _are_fractions(values):
            raise _bad_curves(path, f'"{name}" that is not a list of numbers from 0 to 1')
    if not _is_localization(curves.get("localization")):
        raise _bad_curves(path, '"localization" that is not as `rankdet evaluate` writes it')
    _check_lengths(path, curves)
    return curves


def _check_lengths(path: Path, curves: dict[str, Any]) -> None:
    pairs: list[tuple[str, str, Any, Any]] = [
        ("LRP", "score", curves.get("LRP"), curves.get("score"))
    ]
    pairs += [
        (name, "recall", each, curves["recall"]) for name, each in curves["precision"].items()
    ]
    for y, x, vertical, horizontal in pairs:
        if vertical is not None and len(vertical) != len(horizontal):
            raise _bad_curves(path, f"{len(vertical)} of {y} and {len(horizontal)} of {x}")


def _is_localization(value: Any) -> bool:
    """Whether this is as `rankdet.evaluation.localization.localization_by_score`, or missing."""
    if value is None:  # written by an older version
        return True
    if not isinstance(value, dict) or not isinstance(value.get("bins"), dict):
        return False
    total, bins = value.get("true_positives"), value["bins"]
    lists = [bins.get(name) for name in ("count", "score", "IoU")]
    if not _is_count(total) or not all(isinstance(each, list) for each in lists):
        return False
    counts, scores, overlaps = lists
    return (
        len(counts) == len(scores) == len(overlaps)
        and all(map(_is_count, counts))
        and sum(counts) == total
        and all(map(_is_number, scores))
        and _are_fractions(overlaps)
        and all(_is_correlation(value.get(name)) for name in ("pearson", "spearman"))
    )


def _bad_curves(path: Path, got: str) -> InputError:
    expected = 'curves with "recall" and "precision", "score" and "LRP" of the same length'
    return InputError(expected, f"{path}: {got}", "evaluate the entry again")


def read_object(path: Path, what: str, fix: str) -> dict[str, Any]:
    """Return the JSON object in a file; anything else is an `InputError` that ends in ``fix``."""
    try:
        document = read_json(path, what)
    except RecursionError:
        raise InputError(f"{what}, a JSON object", f"{path}, nested too deep", fix) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{what}, a JSON object", f"{path}: {error}", fix) from None
    if not isinstance(document, dict):
        raise InputError(f"{what}, a JSON object", f"{path}, another value", fix)
    return document


def _is_plain_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """Whether ``value`` is finite; an integer too large for a float is not."""
    if not _is_plain_number(value):
        return False
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def is_fraction(value: object) -> bool:
    """Whether ``value`` is None or a number from 0 to 1."""
    return value is None or (_is_number(value) and 0 <= value <= 1)  # type: ignore[operator]


def _is_amount(value: object) -> bool:
    return _is_number(value) and 0 <= value <= LARGEST  # type: ignore[operator]


def _are_fractions(value: object) -> bool:
    return isinstance(value, list) and all(v is not None and is_fraction(v) for v in value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and _is_plain_number(value) and 0 <= value <= LARGEST


def _is_correlation(value: object) -> bool:
    return value is None or (_is_number(value) and -1 <= value <= 1)  # type: ignore[operator]


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _are_scalars(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_scalar, value.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _are_differences(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and all(_is_text(each.get(key)) for key in DIFFERENCE)
        for each in value
    )


# The keys of a setting that is not that of the official run; see `rankdet.training.described`.
DIFFERENCE = ("setting", "official", "here", "reason")

# For each key of run.json: a check of the value, and its description.
_RUN: dict[str, tuple[Callable[[object], bool], str]] = {
    "entry": (_is_text, "text"),
    "preset": (_is_text, "text"),
    "iterations": (_is_amount, "a count"),
    "setup_differs": (_are_texts, "a list of texts"),
    "seconds": (_is_amount, "a number of seconds"),
    "seed": (_is_scalar, "a number"),
    "data": (_are_scalars, "an object of texts and numbers"),
    "machine": (_are_scalars, "an object of texts and numbers"),
    "versions": (_are_scalars, "an object of texts and numbers"),
    "git": (_is_text, "text"),
    "config": (lambda value: isinstance(value, dict), "an object"),
    "differences": (_are_differences, f"a list of objects with {', '.join(DIFFERENCE)}"),
}


@dataclass(frozen=True)
class Run:
    """One evaluated run of an entry.

    Attributes:
        entry: the entry of the catalogue.
        folder: of the files.
        metrics: by IoU type ("bbox", "segm") and metric name, in [0, 1]; None if undefined.
        record: provenance, the content of ``run.json``; empty if there is none.
    """

    entry: Entry
    folder: Path
    metrics: dict[str, Numbers]
    record: dict[str, Any] = field(default_factory=dict)

    def metric(self, iou_type: str, name: str) -> float | None:
        """Return a metric in percent, as in the papers, or None."""
        value = self.metrics.get(iou_type, {}).get(name)
        return None if value is None else 100 * value

    @property
    def seed(self) -> int | None:
        """The seed of the training, of ``run.json`` or of the folder ``seed-<n>``."""
        seed = self.record.get("seed")
        if isinstance(seed, int) and not isinstance(seed, bool):
            return seed
        return seed_of(self.folder.name)

    @property
    def place(self) -> str:
        """The folder relative to that of the preset: ``<entry>`` or ``<entry>/seed-<n>``."""
        is_own = seed_of(self.folder.name) is None
        return self.entry.entry_id if is_own else f"{self.entry.entry_id}/{self.folder.name}"

    @property
    def seconds_per_iteration(self) -> float | None:
        """The mean time of an iteration, None if ``run.json`` does not give it."""
        seconds, iterations = self.record.get("seconds"), self.record.get("iterations")
        return seconds / iterations if seconds and iterations else None

    @property
    def main_iou_type(self) -> str:
        """The IoU type for figures with one value per entry: masks for a detector without boxes."""
        has_boxes = "bbox" in self.entry.iou_types
        preferred = ("bbox", "segm") if has_boxes else ("segm", "bbox")
        return next(kind for kind in preferred if kind in self.metrics)

    @property
    def data(self) -> dict[str, Any]:
        """The description of the data in ``run.json``; empty if there is none."""
        data = self.record.get("data")
        return data if isinstance(data, dict) else {}

    @property
    def data_name(self) -> str:
        """The data set that ``run.json`` names, or ''."""
        return str(self.data.get("name") or "")

    @property
    def operators(self) -> str:
        """The operators of mmcv in the training, or ''; earlier versions had only compiled ones."""
        versions = self.record.get("versions")
        return str((versions if isinstance(versions, dict) else {}).get("operators") or "")

    def training(self) -> list[dict[str, Any]]:
        """Return the lines of ``training.jsonl``; [] if there is no such file."""
        path = self.folder / "training.jsonl"
        return read_training(path) if path.is_file() else []

    def curves(self) -> dict[str, Any]:
        """Return ``curves.json`` of the main IoU type; {} if missing, or without annotations."""
        path = self.folder / "curves.json"
        return read_curves(path, self.main_iou_type) if path.is_file() else {}


@dataclass(frozen=True)
class Result:
    """The evaluated runs of one entry, by seed; curves and provenance are those of the first.

    Attributes:
        runs: at least one.
    """

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        """The run with the lowest seed."""
        return self.runs[0]

    @property
    def entry(self) -> Entry:
        """The entry of the catalogue."""
        return self.first.entry

    @property
    def folder(self) -> Path:
        """The folder of the first run."""
        return self.first.folder

    @property
    def metrics(self) -> dict[str, Numbers]:
        """The metrics of the first run; `metric` has the mean over the runs."""
        return self.first.metrics

    @property
    def run(self) -> dict[str, Any]:
        """The provenance of the first run."""
        return self.first.record

    @property
    def main_iou_type(self) -> str:
        """As `Run.main_iou_type`."""
        return self.first.main_iou_type

    @property
    def data(self) -> dict[str, Any]:
        """As `Run.data`, of the first run."""
        return self.first.data

    @property
    def data_name(self) -> str:
        """As `Run.data_name`, of the first run."""
        return self.first.data_name

    @property
    def operators(self) -> str:
        """As `Run.operators`, of the first run."""
        return self.first.operators

    def values(self, iou_type: str, name: str) -> list[float]:
        """Return a metric of each run that has it, in percent."""
        found = (run.metric(iou_type, name) for run in self.runs)
        return [value for value in found if value is not None]

    def metric(self, iou_type: str, name: str) -> float | None:
        """Return the mean of a metric over the runs in percent; None if no run has it."""
        values = self.values(iou_type, name)
        return statistics.fmean(values) if values else None

    def spread(self, iou_type: str, name: str) -> float | None:
        """Return the sample standard deviation of a metric in percent; None for one run."""
        values = self.values(iou_type, name)
        return statistics.stdev(values) if len(values) > 1 else None

    def training(self) -> list[dict[str, Any]]:
        """Return the lines of ``training.jsonl`` of the first run."""
        return self.first.training()

    def curves(self) -> dict[str, Any]:
        """Return ``curves.json`` of the first run, of the main IoU type."""
        return self.first.curves()


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
    found = {entry.entry_id: _runs(entry, folder / entry.entry_id, preset) for entry in chosen}
    return {name: Result(runs) for name, runs in found.items() if runs}


def why_missing(folder: Path, entry_id: str) -> str:
    """Return why the published weights of an entry are missing, or "" if they are not.

    Args:
        folder: the results of one preset; `rankdet fetch checkpoint` writes ``weights.json`` there.
        entry_id: of the catalogue.
    """
    path = folder / entry_id / "weights.json"
    return read_status(path) if path.is_file() else ""


def _runs(entry: Entry, folder: Path, preset: str) -> tuple[Run, ...]:
    """Return the evaluated runs of an entry: of ``folder`` and of ``folder/seed-<n>``, by seed."""
    places = [folder, *run_folders(folder)]
    runs = [_read(entry, place, preset) for place in places if (place / "metrics.json").is_file()]
    by_seed: dict[int | None, Run] = {}
    for run in runs:
        other = by_seed.setdefault(run.seed, run)
        if other is not run:
            raise InputError(
                f"one run of {entry.entry_id} with seed {run.seed}",
                f"two: in {other.folder} and in {run.folder}",
                "move one away: a mean over both would count the same training twice",
            )
    return tuple(sorted(runs, key=lambda run: -1 if run.seed is None else run.seed))


def _read(entry: Entry, folder: Path, preset: str) -> Run:
    metrics = read_metrics(folder / "metrics.json")
    run_path = folder / "run.json"
    record = read_run(run_path) if run_path.is_file() else {}
    expected_of: dict[str, str | int] = {"preset": preset, "entry": entry.entry_id}
    seed = seed_of(folder.name)
    if seed is not None:
        expected_of["seed"] = seed
    for key, expected in expected_of.items():
        if record.get(key, expected) != expected:
            raise InputError(
                f"{key} {expected} in {run_path}",
                repr(record[key]),
                "the folder was renamed or copied: run the entry again",
            )
    return Run(entry, folder, metrics, record)
