"""A published table with the measured values, and how both compare, for any output format."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rankdet.catalogue import Catalogue, Entry, State, Table
from rankdet.catalogue.presets import Preset
from rankdet.report.columns import TIME, Column, columns_of
from rankdet.report.names import detector_group, loss_family
from rankdet.report.results import Result
from rankdet.report.verdicts import (
    REASON,
    TOLERANCE_AP,
    Comparison,
    comparisons,
    row_verdict,
    signed,
)

_SENTENCES = {"Epochs": "{} epochs", "Loss": "{} loss", "Scale": "tested at {}"}


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
        return self.kind in ("published", "measured", "spread", "runs", "difference")


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
    shown = [results[each.entry_id] for each in table.entries if each.entry_id in results]
    with_seeds = any(len(result.runs) > 1 for result in shown)
    columns = [ViewColumn("", "Row", "label")]
    columns += [ViewColumn("", heading, "fact") for heading in facts]
    for column in metric_columns:
        columns += _sub_columns(column, preset, with_seeds)
    columns += [ViewColumn("", "Runs", "runs")] * with_seeds
    columns.append(ViewColumn("", "Status", "status"))
    rows = []
    for index, entry in enumerate(table.entries):
        result, state = results.get(entry.entry_id), states[entry.entry_id]
        found = comparisons(entry, metric_columns, catalogue, result, preset, state)
        cells = [entry.row_label, *(values[index] or MISSING for values in facts.values())]
        for column, comparison in zip(metric_columns, found, strict=True):
            cells += _printed(column, comparison, preset, with_seeds)
        cells += [str(len(result.runs)) if result else MISSING] * with_seeds
        cells.append(row_verdict(metric_columns, found, result, preset, state)[1])
        rows.append(ViewRow(entry.entry_id, tuple(cells), result is not None))
    notes = (*_notes(metric_columns, preset, with_seeds), *_operators_note(shown, preset))
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


def _sub_columns(column: Column, preset: Preset, with_seeds: bool) -> list[ViewColumn]:
    subs = [ViewColumn(column.heading, "published", "published")]
    if column.is_validation or (preset.is_comparable and column.metric == TIME):
        name = "measured" if preset.is_comparable else preset.name
        subs.append(ViewColumn(column.heading, name, "measured"))
        subs += [ViewColumn(column.heading, "±", "spread")] * with_seeds
    if column.is_validation and preset.is_comparable:
        subs.append(ViewColumn(column.heading, "Δ", "difference"))
    return subs


def _printed(column: Column, comparison: Comparison, preset: Preset, with_seeds: bool) -> list[str]:
    decimals = 2 if column.metric == TIME else 1
    published = figure(comparison.published, decimals)
    by_kind = {
        "published": comparison.remark or published,
        "measured": figure(comparison.measured, decimals),
        "spread": figure(comparison.spread, 2),
        "difference": signed(comparison.difference),
    }
    return [by_kind[sub.kind] for sub in _sub_columns(column, preset, with_seeds)]


def figure(value: float | None, decimals: int = 1) -> str:
    """Format a value as in the papers; a dash if there is none."""
    return MISSING if value is None else f"{value:.{decimals}f}"


def _notes(columns: Sequence[Column], preset: Preset, with_seeds: bool) -> list[str]:
    notes = [preset.caption]
    if with_seeds:
        notes.append(
            "Measured values are means over the runs of a row, each with another seed; ± is their "
            "standard deviation."
        )
    if preset.is_comparable:
        notes.append(
            "Δ = measured − published, from the rounded values. Status: reproduced if the 90 % "
            f"interval of the mean difference is within ±{TOLERANCE_AP} AP, not reproduced if it "
            f"is outside; {REASON}."
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
