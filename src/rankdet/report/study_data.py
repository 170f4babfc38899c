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
from rankdet.report.facts import period
from rankdet.report.results import Run, read_object, read_results
from rankdet.times import duration

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
    run: Run


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
            rows += [
                Measured(set_name, method, seed, _values(runs[seed]), runs[seed])
                for seed in study.seeds
            ]
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
    writer.writerow(["set", "method", "seed", *METRICS, "training s", "ended", "code"])
    for row in rows:
        values = ("" if v is None else f"{v:.4f}" for v in row.values.values())
        record, times = row.run.record, period(row.run)
        about = (record.get("seconds", ""), times[1] if times else "", record.get("git", ""))
        writer.writerow([row.set_name, row.method, row.seed, *values, *about])
    return stream.getvalue()


def course(rows: Sequence[Measured]) -> str:
    """Return the time of all trainings together, their first and last day, and the code."""
    records = [row.run.record for row in rows]
    seconds = sum(record.get("seconds") or 0 for record in records)
    times = [each for each in (period(row.run) for row in rows) if each]
    days = sorted({end[:10] for each in times for end in each})
    codes = dict.fromkeys(str(record["git"]) for record in records if record.get("git"))
    threads = sorted({record["threads"] for record in records if record.get("threads")})
    parts = [f"{len(rows)} trainings, {duration(seconds)} together"]
    if threads:
        parts.append(f"{' or '.join(map(str, threads))} thread{'' if threads == [1] else 's'} each")
    if days:
        parts.append(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}")
    if codes:
        parts.append(f"code {', '.join(codes)}")
    return ", ".join(parts)


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
                cells += ["", ""] if mean is None else [f"{mean.value:.4f}", f"{mean.half:.4f}"]
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
    """Return three sentences: AP, AP of the rare classes, and where ranking losses lose.

    On each set the best ranking loss is compared with the best other loss. A difference counts if
    it is larger than both half intervals together.
    """
    ap, rare = means(study, rows, "AP"), means(study, rows, "APr")
    return [
        _compared(study, ap, "AP"),
        _compared(study, rare, "APr (the three rarest classes)"),
        _lost(study, rows, ap),
    ]


def _is_ranking(method: Method) -> bool:
    return method.loss in RANKING


@dataclass(frozen=True)
class _Pair:
    """The best ranking loss and the best other loss of a detector on one set."""

    set_name: str
    ranking: Method
    other: Method
    gap: float
    counts: bool


def _is_ahead(first: Mean, second: Mean) -> bool:
    """Whether the difference is larger than both half intervals together."""
    return first.value - second.value > first.half + second.half


def _pairs(study: Study, values: dict[tuple[str, str], Mean], detector: str) -> list[_Pair]:
    found = []
    for set_name in study.sets:
        mine = _best(study, values, set_name, detector, _is_ranking)
        theirs = _best(study, values, set_name, detector, lambda method: not _is_ranking(method))
        if mine and theirs:
            gap = mine[1].value - theirs[1].value
            counts = _is_ahead(mine[1], theirs[1]) or _is_ahead(theirs[1], mine[1])
            found.append(_Pair(set_name, mine[0], theirs[0], gap, counts))
    return found


def _compared(study: Study, values: dict[tuple[str, str], Mean], name: str) -> str:
    parts = []
    for detector in detectors(study):
        pairs = _pairs(study, values, detector)
        if not pairs:
            parts.append(f"with {detector}, nothing to compare, as one kind of loss was trained")
            continue
        sides = {
            "ahead": [pair for pair in pairs if pair.counts and pair.gap > 0],
            "behind": [pair for pair in pairs if pair.counts and pair.gap < 0],
            "within the intervals": [pair for pair in pairs if not pair.counts],
        }
        said = [
            f"{words} on {_sets(own, pairs)} ({_range(own)})" for words, own in sides.items() if own
        ]
        who = _labels(pair.ranking for pair in pairs)
        against = _labels(pair.other for pair in pairs)
        parts.append(
            f"with {detector}, the best ranking loss ({who}) against the best other loss "
            f"({against}) is {', '.join(said)}"
        )
    return f"{name}: {'; '.join(parts)}."


def _sets(own: Sequence[_Pair], every: Sequence[_Pair]) -> str:
    if len(own) == len(every):
        return f"all {len(every)} sets"
    return f"set{'' if len(own) == 1 else 's'} {', '.join(pair.set_name for pair in own)}"


def _range(pairs: Sequence[_Pair]) -> str:
    gaps = [pair.gap for pair in pairs]
    ends = (f"{each:+.1f}".replace("-", "−") for each in (min(gaps), max(gaps)))
    return " to ".join(dict.fromkeys(ends))


def _labels(methods: Iterable[Method]) -> str:
    return " or ".join(dict.fromkeys(method.label for method in methods))


def _lost(study: Study, rows: Sequence[Measured], ap: dict[tuple[str, str], Mean]) -> str:
    places = []
    for name, method in study.methods.items():
        if not _is_ranking(method):
            continue
        behind = []
        for set_name in study.sets:
            best = _best(study, ap, set_name, method.detector, lambda each: not _is_ranking(each))
            own = ap.get((set_name, name))
            if best and own and _is_ahead(best[1], own):
                behind.append(set_name)
        if behind:
            where = "all sets" if len(behind) == len(study.sets) else ", ".join(behind)
            places.append(f"{method.label} with {method.detector} ({where})")
    lost = "; ".join(places) if places else "none"
    said = f"Ranking losses that lose AP to the best other loss beyond the intervals: {lost}."
    costs = _costs(study, rows)
    if costs:
        said += f" Means of the ranking losses against the others: {'; '.join(costs)}."
    return said


def _costs(study: Study, rows: Sequence[Measured]) -> list[str]:
    """Return calibration error and time of a step, ranking losses against others, by detector."""
    said = []
    for metric, words, unit in (
        ("D-ECE", "calibration error", ""),
        ("ms per step", "time of a step", " ms"),
    ):
        found = means(study, rows, metric)
        for detector in detectors(study):
            sides: dict[bool, list[float]] = {True: [], False: []}
            for (_, name), mean in found.items():
                method = study.methods[name]
                if method.detector == detector:
                    sides[_is_ranking(method)].append(mean.value)
            if all(sides.values()):
                ranking, other = (statistics.fmean(sides[each]) for each in (True, False))
                mine, theirs = f"{ranking:.0f}{unit}", f"{other:.0f}{unit}"
                said.append(f"{words} with {detector} {mine} against {theirs}")
    return said
