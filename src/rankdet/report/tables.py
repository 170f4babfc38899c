"""A published table with the measured values, and how both compare, for any output format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankdet.catalogue import Catalogue, Entry, PublishedValue, State, Table
from rankdet.catalogue.official_files import OFFICIAL, difference, is_described
from rankdet.catalogue.presets import Preset
from rankdet.report.names import detector_group, loss_family
from rankdet.report.results import Result

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf", "oLRP")
TIME = "iteration_time_s"
_IOU_TYPES = ("bbox", "segm", None)
_IOU_NAMES = {"bbox": "box", "segm": "mask"}
_SENTENCES = {"Epochs": "{} epochs", "Loss": "{} loss", "Scale": "tested at {}"}


@dataclass(frozen=True)
class Column:
    """One metric of a table.

    Attributes:
        split: data set and split of the published values.
        iou_type: bbox, segm, or None for a time.
        metric: a key of ``metrics.json``, or ``iteration_time_s``.
        heading: text above the column.
    """

    split: str
    iou_type: str | None
    metric: str
    heading: str

    @property
    def key(self) -> tuple[str, str | None, str]:
        """As `rankdet.catalogue.PublishedValue.key`."""
        return self.split, self.iou_type, self.metric

    @property
    def is_validation(self) -> bool:
        """Whether ``rankdet evaluate`` can measure it; others need a test server."""
        return self.metric in METRICS and "test" not in self.split


def columns_of(table: Table, catalogue: Catalogue) -> tuple[Column, ...]:
    """Return the columns of ``table``: validation, then test-dev, then times; box before mask."""
    official = [
        value
        for entry in table.entries
        for value in catalogue.published(entry.entry_id)
        if value.is_official
    ]
    keys = {value.key for value in official}
    validation = {key[:2] for key in keys if key[2] in METRICS and "test" not in key[0]}
    for split, iou_type in validation or _expected(table):
        keys |= {(split, iou_type, "AP"), (split, iou_type, "oLRP")}
    both = {"bbox", "segm"} <= {key[1] for key in keys}
    return tuple(Column(*key, _heading(key, both)) for key in sorted(keys, key=_rank))


def _expected(table: Table) -> set[tuple[str, str]]:
    """Validation split and IoU types of a table without a published figure."""
    return {
        (f"{entry.dataset}_val", iou_type)
        for entry in table.entries
        for iou_type in entry.iou_types
    }


def _rank(key: tuple[str, str | None, str]) -> tuple[int, int, int, str]:
    split, iou_type, metric = key
    place = 2 if metric == TIME else int("test" in split)
    order = METRICS.index(metric) if metric in METRICS else len(METRICS)
    return place, _IOU_TYPES.index(iou_type), order, metric


def _heading(key: tuple[str, str | None, str], both: bool) -> str:
    split, iou_type, metric = key
    if metric == TIME:
        return "s / iteration"
    kind = f"{_IOU_NAMES[iou_type]} " if iou_type == "segm" or (both and iou_type) else ""
    return f"{kind}{metric}{' (test-dev)' if 'test' in split else ''}"


def short_scale(entry: Entry) -> str:
    """Return the test scale as ``833×500`` (longest × shortest side), or ''."""
    size = entry.official.test_size
    return f"{size[0]}×{size[1]}" if size else ""


def facts_of(table: Table) -> tuple[dict[str, list[str]], list[str]]:
    """Split the description of the rows into columns and a sentence.

    Returns:
        The facts that differ between rows and are not in their labels, as columns by heading; and
        the facts that all rows share.
    """
    entries = table.entries
    candidates = {
        "Detector": [detector_group(entry) for entry in entries],
        "Backbone": [entry.backbone for entry in entries],
        "Scale": [short_scale(entry) for entry in entries],
        "Epochs": [str(entry.official.epochs or "") for entry in entries],
        "Loss": [entry.loss_cls for entry in entries],
    }
    columns, shared = {}, []
    for heading, values in candidates.items():
        if len(set(values)) > 1:
            if not all(_stated(value, entry) for value, entry in zip(values, entries, strict=True)):
                columns[heading] = values
        elif values[0]:
            shared.append(_SENTENCES.get(heading, "{}").format(values[0]))
    return columns, shared


def _stated(value: str, entry: Entry) -> bool:
    """Whether the label of the row already contains ``value`` or its long form."""
    names = {value, loss_family(entry)} if value == entry.loss_cls else {value}
    words = "|".join(re.escape(name) for name in names)
    return re.search(rf"(?<!\w)({words})(?!\w)", entry.row_label, re.IGNORECASE) is not None


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
        fix = "convert" if preset.name == "published" else "train"
        return f"run.json does not describe the data (written by an older version: {fix} again)"
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


MISSING = "—"


@dataclass(frozen=True)
class ViewColumn:
    """One column: ``group`` is a heading over adjacent columns, ``kind`` selects the style."""

    group: str
    name: str
    kind: str

    @property
    def is_number(self) -> bool:
        """Whether the cells are numbers, aligned right."""
        return self.kind in ("published", "measured", "difference")


@dataclass(frozen=True)
class ViewRow:
    """The formatted cells of one entry; ``has_result`` is False if nothing was measured."""

    entry_id: str
    cells: tuple[str, ...]
    has_result: bool


@dataclass(frozen=True)
class TableView:
    """A formatted table; every output format renders this."""

    slug: str
    title: str
    paper: str
    preset: str
    is_comparable: bool
    shared: str
    notes: tuple[str, ...]
    columns: tuple[ViewColumn, ...]
    rows: tuple[ViewRow, ...]

    @property
    def caption(self) -> str:
        """The title and the facts that all rows share."""
        return f"{self.title} (official run: {self.shared})" if self.shared else self.title

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Headings that span columns, with their width, from left to right."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            if spans and column.group and spans[-1][0] == column.group:
                spans[-1] = (column.group, spans[-1][1] + 1)
            else:
                spans.append((column.group, 1))
        return spans

    @property
    def measured_rows(self) -> int:
        """The number of rows with a measured value."""
        return sum(row.has_result for row in self.rows)


def table_view(
    table: Table,
    catalogue: Catalogue,
    results: Mapping[str, Result],
    states: Mapping[str, State],
    preset: Preset,
) -> TableView:
    """Lay out ``table``: rows in the published order, with published and measured values.

    Differences are shown only for preset paper.
    """
    metric_columns = columns_of(table, catalogue)
    facts, shared = facts_of(table)
    columns = [ViewColumn("", "Row", "label")]
    columns += [ViewColumn("", heading, "fact") for heading in facts]
    for column in metric_columns:
        columns += _sub_columns(column, preset)
    columns.append(ViewColumn("", "Status", "status"))
    rows = []
    for index, entry in enumerate(table.entries):
        result = results.get(entry.entry_id)
        comparisons = _comparisons(entry, metric_columns, catalogue, result, preset)
        cells = [entry.row_label, *(values[index] or MISSING for values in facts.values())]
        for column, comparison in zip(metric_columns, comparisons, strict=True):
            cells += _printed(column, comparison, preset)
        cells.append(verdict(metric_columns, comparisons, result, preset, states[entry.entry_id]))
        rows.append(ViewRow(entry.entry_id, tuple(cells), result is not None))
    shown = [results[each.entry_id] for each in table.entries if each.entry_id in results]
    notes = (*_notes(metric_columns, preset), *_operators_note(shown, preset))
    return TableView(
        *(table.slug, table.title, table.paper, preset.name, preset.is_comparable),
        shared=", ".join(shared),
        notes=notes,
        columns=tuple(columns),
        rows=tuple(rows),
    )


def _operators_note(results: Sequence[Result], preset: Preset) -> list[str]:
    """Name the rows that were trained without the compiled operators of the official runs."""
    if not preset.is_comparable or not preset.trains:
        return []
    in_use = {each.entry.row_label: each.operators for each in results}
    rows = [row for row, name in in_use.items() if name and not name.startswith("mmcv")]
    if not rows:
        return []
    return [
        f"Trained with rankdet's built-in operators, not with compiled mmcv: {', '.join(rows)}. "
        "Both agree on the CPU; on a GPU that was not measured."
    ]


def _comparisons(
    entry: Entry,
    columns: tuple[Column, ...],
    catalogue: Catalogue,
    result: Result | None,
    preset: Preset,
) -> list[Comparison]:
    official = {v.key: v for v in catalogue.published(entry.entry_id) if v.is_official}
    return [compare(column, official.get(column.key), result, preset) for column in columns]


def _sub_columns(column: Column, preset: Preset) -> list[ViewColumn]:
    subs = [ViewColumn(column.heading, "published", "published")]
    if column.is_validation or (preset.is_comparable and column.metric == TIME):
        name = "measured" if preset.is_comparable else preset.name
        subs.append(ViewColumn(column.heading, name, "measured"))
    if column.is_validation and preset.is_comparable:
        subs.append(ViewColumn(column.heading, "Δ", "difference"))
    return subs


def _printed(column: Column, comparison: Comparison, preset: Preset) -> list[str]:
    decimals = 2 if column.metric == TIME else 1
    published = figure(comparison.published, decimals)
    by_kind = {
        "published": comparison.remark or published,
        "measured": figure(comparison.measured, decimals),
        "difference": signed(comparison.difference),
    }
    return [by_kind[sub.kind] for sub in _sub_columns(column, preset)]


def figure(value: float | None, decimals: int = 1) -> str:
    """Format a value as in the papers; a dash if there is none."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def signed(value: float | None) -> str:
    """Format a difference with its sign (a true minus)."""
    if value is None:
        return MISSING
    return f"{value:+.1f}".replace("-", "−") if value else "0.0"


def _notes(columns: tuple[Column, ...], preset: Preset) -> list[str]:
    notes = [preset.caption]
    if preset.is_comparable:
        notes.append(
            f"Δ = measured − published, from the rounded values. Status: a difference of up to "
            f"±{TOLERANCE_AP} AP is within the run-to-run variation of a detector."
        )
    else:
        notes.append(
            f"The column {preset.name} is not comparable to the published column "
            f"({preset.not_comparable}); no difference is given."
        )
    if preset.is_comparable and any(column.metric == TIME for column in columns):
        notes.append("Times were measured on different machines; no difference is given.")
    if any("test" in column.split for column in columns):
        notes.append("test-dev is scored by a server: only published values are shown.")
    return notes
