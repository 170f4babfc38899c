"""The summary at the end of a run: metrics, times, missing entries and report files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.catalogue import Entry
from rankdet.catalogue.presets import Preset
from rankdet.report.names import cell, printable
from rankdet.report.page import overview, remarks
from rankdet.report.results import Result


def summary(
    results: Mapping[str, Result], expected: Sequence[Entry], folder: Path, preset: Preset
) -> RenderableType:
    """Return the summary of one preset.

    Args:
        results: the measured results.
        expected: entries that the run should measure; those without a result are named.
        folder: the preset's results, with tables, figures and report.
        preset: the preset of the results.
    """
    parts: list[RenderableType] = [Text.assemble((f"rankdet, preset {preset.name}", "bold"))]
    parts.append(Text(preset.caption, style="dim" if preset.is_comparable else "yellow"))
    if results:
        parts += [Text(), _table(results)]
        parts += [cell(remark, "yellow") for remark in remarks(results, preset)]
    missing = [entry.entry_id for entry in expected if entry.entry_id not in results]
    if missing:
        parts.append(Text(f"\nwithout a result: {', '.join(missing)}", style="yellow"))
    elif not results:
        parts.append(Text("\nno results yet", style="yellow"))
    parts.append(_places(folder))
    return Group(*parts)


def _table(results: Mapping[str, Result]) -> RichTable:
    view = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("entry", "detector", "loss"):
        view.add_column(name, no_wrap=name == "entry")
    rows = overview(results)
    with_kind = any(row.kind == "mask" for row in rows)
    if with_kind:
        view.add_column("")
    with_seeds = any(row.runs > 1 for row in rows)
    for name in ("AP", "oLRP", *["runs"] * with_seeds, "training"):
        view.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        kind = [Text(row.kind, "dim")] if with_kind else []
        loss = Text.assemble(("■ ", row.color), printable(row.loss))
        figures = (Text(row.metrics[0], "bold"), Text(row.metrics[6], "bold"))
        runs = [str(row.runs)] * with_seeds
        view.add_row(row.entry_id, cell(row.detector), loss, *kind, *figures, *runs, row.time)
    return view


def _places(folder: Path) -> RenderableType:
    """List the report files; missing ones are marked."""
    view = RichTable(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for name, place in (("tables", "tables"), ("figures", "figures"), ("report", "report.html")):
        path = folder / place
        view.add_row(
            Text(name, "dim"), cell(path) if path.exists() else Text("not written yet", "dim")
        )
    return Group(Text(), view)
