"""The status of runs as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, JustifyMethod, RenderableType
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
NUMBERS = ("progress", "time left", "loss", "AP", "oLRP", "silent for")
COLUMNS = ("run", "seed", "state", *NUMBERS, "where")
UNKNOWN = "—"


NARROW = 110  # columns of a terminal, below which seed and machine are left out


def status_table(runs: Sequence[RunStatus], width: int = 200) -> RenderableType:
    """Return one line per run, then what the states mean and what is wrong with damaged runs.

    Args:
        runs: in the order to show.
        width: of the terminal, in characters.
    """
    if not runs:
        return Text("no runs yet: nothing below results/<preset> and work/<preset>")
    table = Table(box=None, pad_edge=False, padding=(0, 2 if width >= NARROW else 1, 0, 0))
    table.header_style = "dim"
    left_out = () if width >= NARROW else ("seed", "where")
    columns = [name for name in COLUMNS if name not in left_out]
    for name in columns:
        # In a narrow terminal the names of runs are broken, numbers are not.
        is_name = name in ("run", "where")
        justify: JustifyMethod = "right" if name in NUMBERS else "left"
        table.add_column(name, no_wrap=not is_name, overflow="fold", justify=justify)
    for run in runs:
        cells = dict(zip(COLUMNS, _cells(run), strict=True))
        table.add_row(*(cells[name] for name in columns))
    parts: list[RenderableType] = [table]
    states = {run.state for run in runs}
    parts += [Text(f"{state}: {hint}", "dim") for state, hint in HINTS.items() if state in states]
    parts += [cell(f"damaged: {place(run)}: {run.problem}", "red") for run in runs if run.problem]
    return Group(*parts)


def _cells(run: RunStatus) -> list[Text]:
    is_over = run.state in ("trained", "done")
    sign = UNKNOWN if run.seconds_since_sign is None else duration(run.seconds_since_sign)
    return [
        cell(place(run)),
        cell("" if run.seed is None else run.seed),
        Text(run.state, STYLES[run.state]),
        cell(progress(run)),
        cell("" if is_over else duration(run.seconds_left)),
        cell(UNKNOWN if run.loss is None else f"{run.loss:.3f}"),
        cell(_percent(run.AP)),
        cell(_percent(run.oLRP)),
        cell(sign),
        cell(where(run)),
    ]


def place(run: RunStatus) -> str:
    """Return the run's folder below ``results`` and ``work``."""
    return f"{run.preset}/{run.entry}" + (f"/{run.folder}" if run.folder else "")


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
