"""The catalogue on the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.catalogue import Catalogue, State, Table
from rankdet.report.layout import Column, columns_of
from rankdet.report.plain import cell, printable

STATE_STYLES = {
    **{"measured": "green", "runnable": "cyan"},
    **{"not rehearsed": "yellow", "no config": "yellow"},
}


def state_text(state: State) -> Text:
    """Return the label of a state in its color."""
    for prefix, style in STATE_STYLES.items():
        if state.label.startswith(prefix):
            return cell(state.label, style)
    return cell(state.label, "dim")


def published_text(value: float | None, column: Column) -> str:
    """Return a published figure as it was printed; a dash if there is none."""
    if value is None:
        return "—"
    return f"{value:.2f}" if column.metric == "iteration_time_s" else f"{value:.1f}"


def listing(
    catalogue: Catalogue,
    tables: list[Table],
    states: Mapping[str, State],
    builds: Mapping[str, str] | None = None,
) -> RenderableType:
    """Return the catalogue by paper and table.

    Args:
        catalogue: for the published figures.
        tables: what to show.
        states: state by entry id.
        builds: outcome of building the model by entry id, if requested.
    """
    parts: list[RenderableType] = []
    paper = None
    for table in tables:
        if table.paper != paper:
            paper = table.paper
            parts.append(Text.assemble("\n", (printable(paper), "bold")))
        parts.append(_table(catalogue, table, states, builds))
    rows = [states[entry.entry_id] for table in tables for entry in table.entries]
    runnable = sum(state.is_rehearsed for state in rows)
    waiting = sum(state.has_config and not state.is_rehearsed for state in rows)
    measured = sum(bool(state.measured) for state in rows)
    only = sum(state.label == "published only" for state in rows)
    text = f"{runnable} runnable, "
    if waiting:
        text += (
            f"{waiting} not rehearsed with this code (the workflow's target rehearsal runs them), "
        )
    text += f"{only} published only, {measured} measured here"
    parts.append(Text(f"\n{len(rows)} entries: {text}", "dim"))
    return Group(*parts)


def _table(
    catalogue: Catalogue,
    table: Table,
    states: Mapping[str, State],
    builds: Mapping[str, str] | None,
) -> RichTable:
    view = RichTable(
        title=Text.assemble((printable(table.title), "italic"), (f"  [{table.slug}]", "dim")),
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )
    columns = [column for column in columns_of(table, catalogue) if column.iou_type]
    view.add_column("entry", no_wrap=True, min_width=36)
    view.add_column("row", min_width=24, overflow="fold")
    view.add_column("loss")
    for column in columns:
        view.add_column(cell(column.heading), justify="right")
    view.add_column("status")
    if builds is not None:
        view.add_column("build", overflow="fold")
    for entry in table.entries:
        values = {v.key: v.value for v in catalogue.published(entry.entry_id) if v.is_official}
        cells = [published_text(values.get(column.key), column) for column in columns]
        row: list[RenderableType] = [
            entry.entry_id,
            cell(entry.row_label),
            cell(entry.loss_cls),
        ]
        row += cells
        row.append(state_text(states[entry.entry_id]))
        if builds is not None:
            outcome = builds.get(entry.entry_id, "—")
            row.append(cell(outcome, "red" if outcome.startswith("fails") else ""))
        view.add_row(*row)
    return view


def as_data(
    catalogue: Catalogue,
    tables: list[Table],
    states: Mapping[str, State],
    builds: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return one plain dictionary per entry, for ``rankdet list --json``."""
    rows = []
    for table in tables:
        for entry in table.entries:
            state = states[entry.entry_id]
            row: dict[str, Any] = {
                "entry_id": entry.entry_id,
                "origin": entry.status,
                "paper": entry.paper,
                "table": entry.table,
                "table_slug": entry.table_slug,
                "row_label": entry.row_label,
                "detector": entry.detector,
                "backbone": entry.backbone,
                "loss_cls": entry.loss_cls,
                "dataset": entry.dataset,
                "pool_images": entry.official.pool_images,
                "status": state.label,
                "measured": list(state.measured),
                "rehearsed": state.is_rehearsed,
                "config": str(Path("configs", entry.family, entry.config_path.name))
                if state.has_config
                else None,
                "published": [
                    value.model_dump(exclude={"entry_id"})
                    for value in catalogue.published(entry.entry_id)
                ],
            }
            if builds is not None:
                row["build"] = builds.get(entry.entry_id)
            rows.append(row)
    return rows
