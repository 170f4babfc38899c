"""Compare published and measured values: difference, and whether it is within the spread."""

from __future__ import annotations

from dataclasses import dataclass

from rankdet.catalogue import PublishedValue, State
from rankdet.catalogue.official_data import OFFICIAL, difference, is_described
from rankdet.catalogue.presets import Preset
from rankdet.report.layout import TIME, Column
from rankdet.report.results import Result

# Two trainings of one config differ: mmdetection's maintainers state less than 0.3 AP
# (open-mmlab/mmdetection#3496) and less than 0.2 (#2558).
TOLERANCE_AP = 0.3


@dataclass(frozen=True)
class Comparison:
    """One cell: the published and the measured value, and their difference if comparable.

    ``difference`` is between the printed values, with one decimal as in the papers.
    """

    published: float | None
    measured: float | None
    difference: float | None = None
    remark: str = ""


def why_not_comparable(result: Result, preset: Preset) -> str:
    """Return why ``result`` is not comparable with published figures; '' if it is.

    It is comparable if the preset is the official run and its provenance shows the same counts and
    classes as the official data of the entry, and the same setup. The name of the data set is not
    sufficient, since it has a default.
    """
    if not preset.is_comparable:
        return preset.not_comparable
    if not result.run:
        return "no run.json"
    splits = ("val",) if preset.name == "published" else ("train", "val")
    if not is_described(result.data, splits):
        todo = "convert" if preset.name == "published" else "train"
        return f"run.json does not describe the data (written by an older version: {todo} again)"
    name = result.entry.dataset
    found = difference(result.data, name)
    if found:
        return f"data: {found}, not {OFFICIAL[name].title}"
    return "; ".join(result.run.get("setup_differs") or ())


def compare(
    column: Column, published: PublishedValue | None, result: Result | None, preset: Preset
) -> Comparison:
    """Return the cell of one entry and one column."""
    value = published.value if published else None
    remark = "coming soon" if published and published.value is None else ""
    measured = None
    comparable = result is not None and not why_not_comparable(result, preset)
    if result is not None and column.iou_type is not None and column.is_validation:
        measured = result.metric(column.iou_type, column.metric)
    elif comparable and result is not None and column.metric == TIME:
        measured = _seconds_per_iteration(result)
    difference = None
    if comparable and value is not None and measured is not None and column.is_validation:
        difference = round(round(measured, 1) - value, 1)
    return Comparison(value, measured, difference, remark)


def _seconds_per_iteration(result: Result) -> float | None:
    seconds, iterations = result.run.get("seconds"), result.run.get("iterations")
    return seconds / iterations if seconds and iterations else None


def verdict(
    columns: tuple[Column, ...],
    cells: list[Comparison],
    result: Result | None,
    preset: Preset,
    state: State,
) -> str:
    """Return the result of the comparison in a few words; without a result, the entry's status."""
    if result is None:
        return state.label
    reason = why_not_comparable(result, preset)
    if reason:
        return f"not comparable: {reason}"
    differences = [
        cell.difference
        for column, cell in zip(columns, cells, strict=True)
        if column.metric == "AP" and cell.difference is not None
    ]
    if not differences:
        return "no published AP"
    worst = max(differences, key=abs)
    if abs(worst) <= TOLERANCE_AP:
        return f"within ±{TOLERANCE_AP} AP"
    return f"{'above' if worst > 0 else 'below'} by {abs(worst):.1f} AP"
