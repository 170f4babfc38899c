"""Is a published value reproduced? A verdict per cell and per row, from the runs of all seeds.

The verdict is an equivalence test: two one-sided t-tests at 5 %, which is to ask whether the 90 %
interval of the mean difference lies within the tolerance. The variance is moderated (G. K. Smyth,
"Linear models and empirical Bayes methods", 2004, eq. 3): the prior is what the tolerance itself
says of two trainings, so that one run has an interval too and three equal runs do not have none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rankdet.catalogue import Catalogue, Entry, PublishedValue, State, Table
from rankdet.catalogue.official_files import OFFICIAL, difference, is_described
from rankdet.catalogue.presets import Preset
from rankdet.report.columns import TIME, Column, columns_of
from rankdet.report.results import Result, Run

# Two trainings of one config differ: mmdetection's maintainers state less than 0.3 AP
# (open-mmlab/mmdetection#3496) and less than 0.2 (#2558). The published value is one training.
TOLERANCE_AP = 0.3
REASON = (
    "two trainings of one config differ by up to 0.3 AP (open-mmlab/mmdetection#3496), and a "
    "published value is one training"
)
# If 95 % of the differences of two trainings are below the tolerance, this is the standard
# deviation of one training.
PRIOR_DEVIATION = TOLERANCE_AP / (1.96 * math.sqrt(2))
PRIOR_FREEDOM = 10  # the weight of the prior, in degrees of freedom; an assumption
LEVEL = 0.05  # of each one-sided test
MOST_RUNS = 20  # more further runs are not suggested
JUDGED = "AP"  # the only metric with a stated tolerance


class Verdict(StrEnum):
    """The possible verdicts, as shown."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"
    NOT_COMPARABLE = "not comparable"
    PUBLISHED_ONLY = "published only"
    NEEDS_SERVER = "needs the server"
    NO_TOLERANCE = "no tolerance"
    NOTHING_PUBLISHED = "nothing published"


@dataclass(frozen=True)
class Comparison:
    """One cell: the published value, the mean of the runs, and how both compare.

    Attributes:
        published: the published value; percent, or seconds.
        measured: the mean over the runs.
        difference: of the printed values, with one decimal as in the papers; None if the run is
            not comparable.
        remark: in place of a published value.
        spread: sample standard deviation over the runs; None for one run.
        runs: number of runs with a value.
        verdict: of this cell.
        interval: 90 % interval of the mean difference; None if it was not compared.
        more: further runs that would decide; 0 if more than `MOST_RUNS`.
        reason: why it was not compared.
    """

    published: float | None
    measured: float | None
    difference: float | None = None
    remark: str = ""
    spread: float | None = None
    runs: int = 0
    verdict: Verdict = Verdict.NOTHING_PUBLISHED
    interval: tuple[float, float] | None = None
    more: int | None = None
    reason: str = ""

    @property
    def text(self) -> str:
        """The verdict in words."""
        if self.verdict is Verdict.INCONCLUSIVE:
            return f"{self.verdict}: {_needs(self.more)}"
        return f"{self.verdict}: {self.reason}" if self.reason else str(self.verdict)


def _needs(more: int | None) -> str:
    if not more:
        return f"at the limit, {MOST_RUNS} more runs would not decide"
    return f"needs {more} more {'run' if more == 1 else 'runs'}"


def why_not_comparable(result: Result | Run, preset: Preset) -> str:
    """Return why ``result`` is not comparable with published figures; '' if it is.

    It is comparable if the preset is the official run and its provenance shows the same counts and
    classes as the official data of the entry, and the same setup. The name of the data set is not
    sufficient, since it has a default. Of several runs, each must be comparable.
    """
    if not preset.is_comparable:
        return preset.not_comparable
    runs = result.runs if isinstance(result, Result) else (result,)
    for run in runs:
        reason = _why_run_is_not(run, preset)
        if reason:
            return f"seed {run.seed}: {reason}" if len(runs) > 1 else reason
    return ""


def _why_run_is_not(run: Run, preset: Preset) -> str:
    if not run.record:
        return "no run.json"
    splits = ("val",) if preset.name == "published" else ("train", "val")
    if not is_described(run.data, splits):
        fix = "convert" if preset.name == "published" else "train"
        return f"run.json does not describe the data (written by an older version: {fix} again)"
    name = run.entry.dataset
    found = difference(run.data, name)
    if found:
        return f"data: {found}, not {OFFICIAL[name].title}"
    return "; ".join(run.record.get("setup_differs") or ())


def compare(
    column: Column,
    published: PublishedValue | None,
    result: Result | None,
    preset: Preset,
    state: State,
) -> Comparison:
    """Return the cell of one entry and one column."""
    value = published.value if published else None
    remark = "coming soon" if published and published.value is None else ""
    reason = why_not_comparable(result, preset) if result is not None else ""
    values = _measured(column, result, comparable=not reason)
    mean = statistics.fmean(values) if values else None
    spread = statistics.stdev(values) if len(values) > 1 else None
    gap = None
    if value is not None and mean is not None and column.is_validation and not reason:
        gap = round(round(mean, 1) - value, 1)
    cell = Comparison(value, mean, gap, remark, spread, len(values))
    return _judged(cell, column, values, result, preset, state, reason)


def _measured(column: Column, result: Result | None, *, comparable: bool) -> list[float]:
    if result is None:
        return []
    if column.iou_type is not None and column.is_validation:
        return result.values(column.iou_type, column.metric)
    if comparable and column.metric == TIME:
        return [value for run in result.runs if (value := run.seconds_per_iteration)]
    return []


def _judged(
    cell: Comparison,
    column: Column,
    values: Sequence[float],
    result: Result | None,
    preset: Preset,
    state: State,
    reason: str,
) -> Comparison:
    verdict, why = _without_interval(cell, column, result, state, reason)
    if verdict is not None:
        return replace(cell, verdict=verdict, reason=why)
    assert cell.published is not None and cell.measured is not None
    shift = cell.measured - cell.published
    half = half_width(values, trained=preset.trains)
    more = None
    if abs(shift) + half <= TOLERANCE_AP + _ROUNDING:
        verdict = Verdict.REPRODUCED
    elif abs(shift) - half > TOLERANCE_AP + _ROUNDING:
        verdict = Verdict.NOT_REPRODUCED
    else:
        verdict, more = Verdict.INCONCLUSIVE, further_runs(shift, values)
    return replace(cell, verdict=verdict, interval=(shift - half, shift + half), more=more)


_ROUNDING = 1e-9  # of floating point


def _without_interval(
    cell: Comparison, column: Column, result: Result | None, state: State, reason: str
) -> tuple[Verdict | None, str]:
    """Return the verdict of a cell that is not tested and why, or None."""
    if cell.published is None:
        return Verdict.NOTHING_PUBLISHED, ""
    if "test" in column.split:
        return Verdict.NEEDS_SERVER, "the annotations of test-dev are not public"
    if result is None:
        return _of_state(state)
    if reason:
        return Verdict.NOT_COMPARABLE, reason
    if cell.measured is None:
        return Verdict.NOT_RUN, "not measured in this run"
    if column.metric == TIME:
        return Verdict.NO_TOLERANCE, "measured on another machine"
    if column.metric != JUDGED:
        return Verdict.NO_TOLERANCE, f"none is stated for {column.metric}"
    return None, ""


def _of_state(state: State) -> tuple[Verdict, str]:
    """Return the verdict of a row without a result."""
    if state.has_config:
        return Verdict.NOT_RUN, state.label
    name = Verdict.PUBLISHED_ONLY
    return name, "" if state.label == name else state.label


def half_width(values: Sequence[float], *, trained: bool = True) -> float:
    """Return half the width of the 90 % interval of the mean.

    Args:
        values: of the runs, in percent.
        trained: False for published weights, which have no run-to-run variation.
    """
    if not trained:
        return 0.0
    return _half_width(len(values), values)


def _half_width(runs: int, values: Sequence[float]) -> float:
    """Return half the interval of ``runs`` runs, of which ``values`` are known."""
    from scipy.special import stdtrit

    freedom = len(values) - 1
    variance = statistics.variance(values) if freedom else 0.0
    total = PRIOR_FREEDOM + runs - 1
    prior = PRIOR_FREEDOM * PRIOR_DEVIATION**2
    # Of further runs the same variance is expected as of those so far.
    moderated = (prior + freedom * variance) / (PRIOR_FREEDOM + freedom)
    return float(stdtrit(total, 1 - LEVEL)) * math.sqrt(moderated / runs)


def further_runs(shift: float, values: Sequence[float]) -> int:
    """Return how many further runs decide, if mean and variance stay; 0 for more than `MOST_RUNS`.

    Args:
        shift: mean difference from the published value.
        values: of the runs so far, at least one.
    """
    room = abs(TOLERANCE_AP - abs(shift))
    for more in range(1, MOST_RUNS + 1):
        if _half_width(len(values) + more, values) < room:
            return more
    return 0


def comparisons(
    entry: Entry,
    columns: Sequence[Column],
    catalogue: Catalogue,
    result: Result | None,
    preset: Preset,
    state: State,
) -> list[Comparison]:
    """Return the cell of one entry in each column."""
    official = catalogue.official_values(entry.entry_id)
    return [compare(each, official.get(each.key), result, preset, state) for each in columns]


def row_verdict(
    columns: Sequence[Column],
    cells: Sequence[Comparison],
    result: Result | None,
    preset: Preset,
    state: State,
) -> tuple[Verdict, str]:
    """Return the verdict of a row and its words: that of the cell which deviates most.

    A row with a cell that is not reproduced is not reproduced, whatever its other cells are.
    """
    if result is None:
        verdict, why = _of_state(state)
        return verdict, f"{verdict} ({why})" if why and state.has_config else why or str(verdict)
    reason = why_not_comparable(result, preset)
    if reason:
        return Verdict.NOT_COMPARABLE, f"{Verdict.NOT_COMPARABLE}: {reason}"
    judged = [
        (column, cell)
        for column, cell in zip(columns, cells, strict=True)
        if cell.interval is not None
    ]
    if not judged:
        server = any(cell.verdict is Verdict.NEEDS_SERVER for cell in cells)
        words = "needs the server: only test-dev is published" if server else "no published AP"
        return (Verdict.NEEDS_SERVER if server else Verdict.NOTHING_PUBLISHED), words
    return _worst(judged)


def _worst(judged: Sequence[tuple[Column, Comparison]]) -> tuple[Verdict, str]:
    for verdict in (Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE, Verdict.REPRODUCED):
        found = [(column, cell) for column, cell in judged if cell.verdict is verdict]
        if not found:
            continue
        column, cell = max(found, key=lambda pair: abs(_shift(pair[1])))
        if verdict is Verdict.NOT_REPRODUCED:
            return verdict, f"{verdict}: {column.heading} {signed(cell.difference)}"
        if verdict is Verdict.INCONCLUSIVE:
            column, cell = max(found, key=lambda pair: pair[1].more or MOST_RUNS + 1)
            return verdict, f"{verdict}: {column.heading} {_needs(cell.more)}"
        return verdict, str(verdict)
    raise AssertionError("a judged cell has one of the three verdicts")


def _shift(cell: Comparison) -> float:
    low, high = cell.interval or (0.0, 0.0)
    return (low + high) / 2


def signed(value: float | None) -> str:
    """Format a difference with its sign (a true minus); a dash if there is none."""
    if value is None:
        return "—"
    return f"{value:+.1f}".replace("-", "−") if value else "0.0"


@dataclass(frozen=True)
class Cell:
    """One cell of the list of verdicts."""

    table: Table
    entry: Entry
    column: Column
    comparison: Comparison


def cells_of(
    tables: Iterable[Table],
    catalogue: Catalogue,
    results: Mapping[str, Result],
    states: Mapping[str, State],
    preset: Preset,
) -> list[Cell]:
    """Return every cell with a published value, of every table; an entry is listed once."""
    found: dict[tuple[str, tuple[str, str | None, str]], Cell] = {}
    for table in tables:
        columns = columns_of(table, catalogue)
        for entry in table.entries:
            name = entry.entry_id
            row = comparisons(entry, columns, catalogue, results.get(name), preset, states[name])
            for column, cell in zip(columns, row, strict=True):
                if cell.published is not None:
                    found.setdefault((name, column.key), Cell(table, entry, column, cell))
    return list(found.values())
