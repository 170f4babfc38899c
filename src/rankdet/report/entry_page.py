"""One entry on the terminal: published figures, official settings with their source, status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.audit import Audit
from rankdet.audit.compare import text
from rankdet.catalogue import Entry, OfficialSettings, PublishedValue, State
from rankdet.report.listing import state_text
from rankdet.report.plain import cell, printable

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
    for name, said in (("losses", official.formula), ("notes", official.notes)):
        if said.strip():
            parts.append(Text.assemble((f"\n{name}  ", "bold"), printable(said)))
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
    name, said = WITHIN.get(group, ("", ""))
    found, other = sources.get(group, ""), sources.get(name, "")
    return f"{found}; {said}: {other}" if other and other != found else found


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
