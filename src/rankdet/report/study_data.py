"""The results of a study: runs, means with intervals, and findings in words."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.studies import Method, Study, part_name, rate_name, study_of
from rankdet.errors import InputError
from rankdet.report.results import Run, read_object, read_results

CONFIDENCE = 0.95
RANKING = ("AP", "aLRP", "RS", "BRS")  # loss_cls of the ranking losses
# In percent, but the last.
METRICS = ("AP", "APr", "oLRP", "D-ECE", "D-ECE calibrated", "ms per step")


def choose_rates(name: str, results: Path) -> dict[str, Any]:
    """Return the learning rate of each method with the highest AP on the tuning split.

    Of equal ones the lower rate is taken.

    Args:
        name: of the study.
        results: folder with ``<study>-rate-<rate>/<entry>/``.

    Returns:
        ``chosen`` {method: rate} and ``AP`` {method: {rate: percent}}.

    Raises:
        InputError: if a result is missing.
    """
    study, catalogue = study_of(name), load_catalogue()
    found: dict[str, dict[str, float]] = {method: {} for method in study.methods}
    for rate in sorted(study.learning_rates):
        preset = rate_name(name, rate)
        by_method = read_results(catalogue, results / preset, preset, study.methods)
        for method in study.methods:
            value = by_method[method].metric("bbox", "AP") if method in by_method else None
            if value is None:
                fix = "run the study's workflow"
                raise InputError(f"the AP of {method}, preset {preset}", "no result", fix)
            found[method][f"{rate:g}"] = value
    chosen = {method: float(max(rates, key=rates.__getitem__)) for method, rates in found.items()}
    return {"study": name, "chosen": chosen, "AP": found}


@dataclass(frozen=True)
class Measured:
    """One training of a study: its values by metric; None if undefined."""

    set_name: str
    method: str
    seed: int
    values: dict[str, float | None]


@dataclass(frozen=True)
class Mean:
    """Mean over the seeds of one method on one set.

    Attributes:
        value: the mean.
        half: half the 95 % interval, with the standard deviation pooled over all cells.
        runs: number of runs.
    """

    value: float
    half: float
    runs: int


def read_study(name: str, results: Path) -> list[Measured]:
    """Read every run of a study.

    Raises:
        InputError: if a run is missing or a file is invalid.
    """
    study, catalogue = study_of(name), load_catalogue()
    rows = []
    for set_name in study.sets:
        preset = part_name(name, set_name)
        found = read_results(catalogue, results / preset, preset, study.methods)
        for method in study.methods:
            runs = {run.seed: run for run in found[method].runs} if method in found else {}
            missing = [seed for seed in study.seeds if seed not in runs]
            if missing:
                expected = f"results of {method}, preset {preset}, seeds {missing}"
                raise InputError(expected, "none", "run the study's workflow")
            rows += [Measured(set_name, method, seed, _values(runs[seed])) for seed in study.seeds]
    return rows


def _values(run: Run) -> dict[str, float | None]:
    calibration = run.folder / "calibration.json"
    before, after = _calibration_errors(calibration)
    step = run.seconds_per_iteration
    return {
        **{metric: run.metric("bbox", metric) for metric in ("AP", "APr", "oLRP")},
        **{
            "D-ECE": before,
            "D-ECE calibrated": after,
            "ms per step": None if step is None else 1000 * step,
        },
    }


def _calibration_errors(path: Path) -> tuple[float | None, float | None]:
    """Return D-ECE in percent before and after the calibration, on images not fitted to."""
    document = read_object(path, "a calibration", "calibrate the run again")
    part = document.get("record", {}).get("all", {})
    found = [part.get(when, {}).get("D-ECE") for when in ("before", "after")]
    values = [None if value is None else 100 * float(value) for value in found]
    return values[0], values[1]


def means(study: Study, rows: Sequence[Measured], metric: str) -> dict[tuple[str, str], Mean]:
    """Return the mean of a metric by (set, method), with intervals of the pooled deviation."""
    from scipy.special import stdtrit

    cells: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        value = row.values[metric]
        if value is not None:
            cells.setdefault((row.set_name, row.method), []).append(value)
    several = [values for values in cells.values() if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum((len(values) - 1) * statistics.variance(values) for values in several)
    deviation = math.sqrt(squares / freedom) if freedom else math.nan
    quantile = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) if freedom else math.nan
    return {
        key: Mean(
            statistics.fmean(values), quantile * deviation / math.sqrt(len(values)), len(values)
        )
        for key, values in cells.items()
    }


def runs_csv(rows: Iterable[Measured]) -> str:
    """Return one line per run."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["set", "method", "seed", *METRICS])
    for row in rows:
        values = ("" if v is None else f"{v:.4f}" for v in row.values.values())
        writer.writerow([row.set_name, row.method, row.seed, *values])
    return stream.getvalue()


def summary_csv(study: Study, rows: Sequence[Measured]) -> str:
    """Return one line per set and method: mean and half the interval of each metric."""
    by_metric = {metric: means(study, rows, metric) for metric in METRICS}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [name for metric in METRICS for name in (metric, f"{metric} ±")]
    writer.writerow(["set", "detector", "loss", "method", *names])
    for set_name in study.sets:
        for method, own in study.methods.items():
            cells: list[str] = []
            for metric in METRICS:
                mean = by_metric[metric].get((set_name, method))
                cells += ["", ""] if mean is None else [f"{mean.value:.2f}", f"{mean.half:.2f}"]
            writer.writerow([set_name, own.detector, own.label, method, *cells])
    return stream.getvalue()


def detectors(study: Study) -> list[str]:
    """Return the detectors in the order of the methods."""
    return list(dict.fromkeys(method.detector for method in study.methods.values()))


def _best(
    study: Study,
    values: dict[tuple[str, str], Mean],
    set_name: str,
    detector: str,
    chosen: Callable[[Method], bool],
) -> tuple[Method, Mean] | None:
    found = [
        (method, values[set_name, name])
        for name, method in study.methods.items()
        if method.detector == detector and chosen(method) and (set_name, name) in values
    ]
    return max(found, key=lambda pair: pair[1].value, default=None)


def findings(study: Study, rows: Sequence[Measured]) -> list[str]:
    """Return three sentences: the ranking losses against the best other loss, by set.

    A difference counts if it is larger than both half intervals together; the third sentence says
    where ranking losses lose, or that they are slower or less calibrated.
    """
    ap, rare = means(study, rows, "AP"), means(study, rows, "APr")
    return [
        _compared(study, ap, "AP"),
        _compared(study, rare, "APr (the three rarest classes)"),
        _lost(study, rows, ap, rare),
    ]


def _is_ranking(method: Method) -> bool:
    return method.loss in RANKING


def _compared(study: Study, values: dict[tuple[str, str], Mean], name: str) -> str:
    parts = []
    for detector in detectors(study):
        said = []
        for set_name in study.sets:
            pair = _pair(study, values, set_name, detector)
            if pair:
                (mine, own), (theirs, other) = pair
                gap = f"{own.value - other.value:+.1f}".replace("-", "−")
                said.append(f"{set_name} {gap} ({mine.label}, {theirs.label})")
        parts.append(f"{detector}: {', '.join(said)}")
    return f"{name}, best ranking loss minus best other loss, by set. {'. '.join(parts)}."


Pair = tuple[tuple[Method, Mean], tuple[Method, Mean]]


def _pair(
    study: Study, values: dict[tuple[str, str], Mean], set_name: str, detector: str
) -> Pair | None:
    mine = _best(study, values, set_name, detector, _is_ranking)
    theirs = _best(study, values, set_name, detector, lambda method: not _is_ranking(method))
    return (mine, theirs) if mine and theirs else None


def _lost(
    study: Study,
    rows: Sequence[Measured],
    ap: dict[tuple[str, str], Mean],
    rare: dict[tuple[str, str], Mean],
) -> str:
    places = []
    for name, values in (("AP", ap), ("APr", rare)):
        for detector in detectors(study):
            for set_name in study.sets:
                pair = _pair(study, values, set_name, detector)
                if pair and pair[1][1].value - pair[0][1].value > pair[0][1].half + pair[1][1].half:
                    places.append(f"{name} of {detector} on {set_name}")
    worse = []
    for metric, words in (("D-ECE", "calibration error"), ("ms per step", "time per step")):
        found = means(study, rows, metric)
        for detector in detectors(study):
            sides = [
                statistics.fmean(
                    mean.value
                    for (_, name), mean in found.items()
                    if study.methods[name].detector == detector
                    and _is_ranking(study.methods[name]) == is_ranking
                )
                for is_ranking in (True, False)
            ]
            worse.append(f"{words} of {detector} {sides[0]:.0f} against {sides[1]:.0f}")
    lost = ", ".join(places) if places else "no set beyond the intervals"
    return (
        f"Ranking losses lose in AP or APr on: {lost}. Means of all ranking against all others: "
        f"{'; '.join(worse)}."
    )
