"""Settings of a row in this package, and differences from the official run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.report.plain import cell


@dataclass(frozen=True)
class Deviation:
    """One difference from the official run.

    Attributes:
        what: a field of the catalogue, or "behavior" for what no setting says.
        official: there.
        here: in this package.
        reason: why.
    """

    what: str
    official: str
    here: str
    reason: str


@dataclass(frozen=True)
class RunHere:
    """A row's config under preset paper.

    Attributes:
        settings: field of the catalogue -> value of the resolved config.
        deviations: what differs from the official run.
    """

    settings: Mapping[str, str]
    deviations: Sequence[Deviation]

    def shown(self, field: str) -> str:
        """Return the value of a field, "same" if it is the official one, "" if it has none."""
        if field not in self.settings:
            return ""
        if field == "loss_hparams":  # prose in the catalogue, numbers here
            return self.settings[field]
        differs = any(deviation.what == field for deviation in self.deviations)
        return self.settings[field] if differs else "same"


def deviations_view(here: RunHere) -> RenderableType:
    """Return what differs from the official run, or that nothing does."""
    title = Text("\ndifferences from the official run", "bold")
    if not here.deviations:
        return Group(title, Text("none: all settings and behavior are the same"))
    view = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("what", "official", "here", "reason"):
        view.add_column(name, overflow="fold")
    for each in here.deviations:
        view.add_row(*map(cell, (each.what, each.official, each.here, each.reason)))
    return Group(title, view)
