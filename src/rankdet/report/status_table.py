"""The status of runs as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rankdet.report.names import cell
from rankdet.report.status import RunStatus
from rankdet.times import duration

STYLES = {
    "training": "cyan",
    "stopped": "yellow",
    "interrupted": "red",
    "failed": "red",
    "trained": "blue",
    "done": "green",
    "damaged": "red",
}
# What a user may do about a state; shown once below the table.
HINTS = {
    "stopped": "with a checkpoint; the same command with --resume, or Snakemake, resumes it",
    "interrupted": "its process is gone or gives no sign of life; --resume, or Snakemake, resumes "
    "it from its last checkpoint",
    "failed": "ended with an error, see the end of its log",
    "trained": "not evaluated yet",
}
UNKNOWN = "—"


def status_table(runs: Sequence[RunStatus]) -> RenderableType:
    """Return one line per run, then what the states mean and what is wrong with damaged runs."""
    if not runs:
        return Text("no runs yet: nothing below results/<preset> and work/<preset>")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("preset", "entry", "seed", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("progress", "time left", "loss", "AP", "oLRP", "last sign"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where")
    for run in runs:
        table.add_row(*_cells(run))
    parts: list[RenderableType] = [table]
    states = {run.state for run in runs}
    parts += [Text(f"{state}: {hint}", "dim") for state, hint in HINTS.items() if state in states]
    parts += [
        cell(f"damaged: {run.preset}/{run.entry}: {run.problem}", "red")
        for run in runs
        if run.problem
    ]
    return Group(*parts)


def _cells(run: RunStatus) -> list[Text]:
    is_over = run.state in ("trained", "done")
    sign = UNKNOWN if run.seconds_since_sign is None else duration(run.seconds_since_sign)
    return [
        cell(run.preset),
        cell(run.entry),
        cell("" if run.seed is None else run.seed),
        Text(run.state, STYLES[run.state]),
        cell(progress(run)),
        cell("" if is_over else duration(run.seconds_left)),
        cell(UNKNOWN if run.loss is None else f"{run.loss:.3f}"),
        cell(_percent(run.AP)),
        cell(_percent(run.oLRP)),
        cell(sign if run.seconds_since_sign is None else f"{sign} ago"),
        cell(where(run)),
    ]


def progress(run: RunStatus) -> str:
    """Return what is done of the whole: epochs, or iterations of a short preset."""
    if run.epochs and run.epoch is not None:
        # Rounded down: 12.0 of 12 epochs is the end.
        return f"{math.floor(10 * run.epoch) / 10:.1f}/{run.epochs} epochs"
    if run.iteration is None and run.iterations is None:
        return UNKNOWN
    return f"{run.iteration or 0}/{UNKNOWN if run.iterations is None else run.iterations} it"


def where(run: RunStatus) -> str:
    """Return the Slurm job or the process, and its machine; "" if unknown."""
    if run.host is None:
        return ""
    return f"{run.host}, " + (f"job {run.job}" if run.job else f"pid {run.pid}")


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f}"
