"""A published table with the measured values, independent of the output format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rankdet.catalogue import Catalogue, Entry, State, Table
from rankdet.catalogue.presets import Preset
from rankdet.report.compare import TOLERANCE_AP, Comparison, compare, verdict
from rankdet.report.layout import TIME, Column, columns_of, facts_of
from rankdet.report.results import Result

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
    notes = tuple(_notes(metric_columns, preset))
    return TableView(
        *(table.slug, table.title, table.paper, preset.name, preset.is_comparable),
        shared=", ".join(shared),
        notes=notes,
        columns=tuple(columns),
        rows=tuple(rows),
    )


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
