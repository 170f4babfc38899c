"""The catalogue on the terminal and as plain data: all entries, or one with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.audit import Audit
from rankdet.audit.compare import text
from rankdet.catalogue import Catalogue, Entry, OfficialSettings, PublishedValue, State, Table
from rankdet.report.columns import Column, columns_of
from rankdet.report.names import cell, printable

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
        official = catalogue.official_values(entry.entry_id)
        values = {key: each.value for key, each in official.items()}
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


# Sources of their own within a group.
WITHIN = {"model": ("losses", "losses"), "batch": ("gpus", "GPUs")}


def entry_page(
    entry: Entry,
    heading: str,
    published: tuple[PublishedValue, ...],
    state: State,
    here: Audit | None = None,
) -> RenderableType:
    """Return everything that the catalogue says about ``entry``; ``heading`` is its table's.

    ``here`` adds the settings of its config, and the differences from the official run.
    """
    official = entry.official
    head = Text.assemble(
        (f"{entry.entry_id}\n", "bold"),
        f"{printable(entry.row_label)} — {printable(heading)} [{entry.table_slug}]\n",
        f"{printable(entry.paper)}\nstatus: ",
        state_text(state),
        f"\nconfig: configs/{entry.family}/{entry.entry_id}.py"
        + ("" if state.has_config else " (none yet)"),
    )
    file = "none is public"
    if official.config:
        file = f"{official.repository} {official.config} @ {official.commit[:8]}"
    head.append(f"\nofficial config: {printable(file)}")
    parts: list[RenderableType] = [head, _published(published)]
    if official.groups:
        parts.append(_settings(official, here))
    if here is not None:
        parts.append(_deviations(here))
    for name, remark in (("losses", official.formula), ("notes", official.notes)):
        if remark.strip():
            parts.append(Text.assemble((f"\n{name}  ", "bold"), printable(remark)))
    return Group(*parts)


def _plain(title: str) -> RichTable:
    return RichTable(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="dim",
    )


def _published(published: tuple[PublishedValue, ...]) -> RenderableType:
    if not published:
        return Text("\nno published figure", "dim")
    view = _plain("published figures")
    view.add_column("metric")
    view.add_column("value", justify="right")
    view.add_column("split")
    view.add_column("source", overflow="fold")
    for value in published:
        kind = {"bbox": "box ", "segm": "mask "}.get(value.iou_type or "", "")
        number = "—" if value.value is None else f"{value.value:g}"
        view.add_row(cell(kind + value.metric), number, value.split, cell(value.source))
    return view


def _settings(official: OfficialSettings, here: Audit | None) -> RichTable:
    view = _plain("settings of the official run, group by group with their source, and those here")
    view.add_column("setting", no_wrap=True)
    view.add_column("official", overflow="fold")
    view.add_column("here", overflow="fold")
    for group, tree in official.groups.items():
        view.add_row(Text(group, "italic"), Text(sources_of(official, group), "dim"), "")
        for path, settings in lines(tree):
            shown = "" if here is None else _here(f"{group}.{path}", settings, here.deviations)
            view.add_row(f"  {path}", cell(_said(settings)), cell(shown))
    return view


def sources_of(official: OfficialSettings, group: str) -> str:
    """Return where a group of settings was read."""
    sources = {str(name): source for name, source in official.sources.items()}
    name, meaning = WITHIN.get(group, ("", ""))
    found, other = sources.get(group, ""), sources.get(name, "")
    return f"{found}; {meaning}: {other}" if other and other != found else found


def lines(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield one line for each setting of a group, and for each part with all its own settings."""
    own = {name: value for name, value in tree.items() if not _has_parts(value)}
    if path and own:
        yield path, own
    for name, value in tree.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from lines(value, inner)
        elif _has_parts(value):
            for index, each in enumerate(value):
                yield from lines(each, f"{inner}.{index}")
        elif not path:
            yield inner, value


def _has_parts(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(isinstance(each, Mapping) for each in value)
    return isinstance(value, Mapping)


def _said(settings: Any) -> str:
    """Return the settings of a part in one line, its type first."""
    if not isinstance(settings, Mapping):
        return text(settings)
    kind = [settings["type"]] if "type" in settings else []
    return ", ".join(
        kind + [f"{name} {text(value)}" for name, value in settings.items() if name != "type"]
    )


def _here(path: str, settings: Any, deviations: Any) -> str:
    """Return "same", or what differs of the settings of a line."""
    if not isinstance(settings, Mapping):
        return next((each.here for each in deviations if each.setting == path), "same")
    found = {f"{path}.{name}": name for name in settings}
    other = [f"{found[each.setting]} {each.here}" for each in deviations if each.setting in found]
    return ", ".join(other) or "same"


def _deviations(here: Audit) -> RenderableType:
    """Return what differs from the official run, or that nothing does."""
    title = Text("\nwhat differs here from the official run", "bold")
    if not here.deviations:
        return Group(title, Text("nothing: every setting and behavior is the official one"))
    view = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("what", "official", "here", "reason"):
        view.add_column(name, overflow="fold")
    for each in here.deviations:
        what = each.setting or "behavior"
        view.add_row(*map(cell, (what, each.official, each.here, each.reason)))
    return Group(title, view)
