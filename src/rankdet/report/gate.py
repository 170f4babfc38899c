"""The verdicts of a preset as a list, as CSV, and as a gate that fails where a value is missed."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from rankdet.catalogue.presets import Preset
from rankdet.report.names import cell as plain
from rankdet.report.names import spreadsheet
from rankdet.report.verdicts import REASON, TOLERANCE_AP, Cell, Comparison, Verdict, signed

STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.NOT_REPRODUCED: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
}
COMPARED = tuple(STYLES)  # the verdicts of cells with an interval
WITH_RESULT = (*COMPARED, Verdict.NO_TOLERANCE, Verdict.NOT_COMPARABLE)
HEADER = (
    *("entry", "preset", "table", "split", "iou_type", "metric", "published", "mean"),
    *("deviation", "runs", "difference", "low", "high", "verdict", "reason"),
)


def as_table(cells: Sequence[Cell], preset: Preset, *, every: bool = False) -> RenderableType:
    """Return the verdicts for a terminal, the compared cells first, and their counts.

    Args:
        cells: of all rows.
        preset: the preset of the results.
        every: also list cells without a result, for example of test-dev.
    """
    shown = [each for each in cells if every or each.comparison.verdict in WITH_RESULT]
    order = [*WITH_RESULT, *(kind for kind in Verdict if kind not in WITH_RESULT)]
    shown.sort(key=lambda each: order.index(each.comparison.verdict))
    counts = Counter(each.comparison.verdict for each in cells)
    words = ", ".join(f"{counts[kind]} {kind}" for kind in order if counts[kind])
    parts: list[RenderableType] = [Text(preset.caption, style="dim"), Text()]
    if shown:
        parts += [_lines(shown), Text()]
    parts.append(Text(f"{len(cells)} published values: {words}" if cells else "no published value"))
    parts.append(
        Text(
            f"reproduced: the 90 % interval of the mean difference is within ±{TOLERANCE_AP} AP; "
            f"{REASON}",
            style="dim",
        )
    )
    return Group(*parts)


def _lines(cells: Sequence[Cell]) -> RichTable:
    view = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("entry", "metric"):
        view.add_column(name, no_wrap=True)
    for name in ("published", "mean", "±", "runs", "interval"):
        view.add_column(name, justify="right", no_wrap=True)
    view.add_column("verdict")
    for each in cells:
        found = each.comparison
        view.add_row(
            each.entry.entry_id,
            plain(each.column.heading),
            *(_number(found.published), _number(found.measured), _number(found.spread, 2)),
            *(str(found.runs or ""), _span(found.interval)),
            plain(found.text, STYLES.get(found.verdict, "")),
        )
    return view


def _span(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    return " to ".join(f"{value:+.2f}".replace("-", "−") for value in interval)


def _number(value: float | None, decimals: int = 1) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def as_csv(cells: Sequence[Cell], preset: Preset) -> str:
    """Return one line per cell; percent, or seconds for an iteration time.

    ``low`` and ``high`` are the 90 % interval of the mean difference.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADER)
    for each in cells:
        column, found = each.column, each.comparison
        low, high = found.interval or (None, None)
        writer.writerow(
            [
                *(each.entry.entry_id, preset.name, each.table.slug, column.split),
                *(column.iou_type or "", column.metric),
                *(_exact(found.published), _exact(found.measured), _exact(found.spread)),
                *(found.runs, _exact(found.difference), _exact(low), _exact(high)),
                *(str(found.verdict), spreadsheet(_reason(found))),
            ]
        )
    return stream.getvalue()


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _reason(found: Comparison) -> str:
    return found.text.removeprefix(found.verdict).removeprefix(": ")


def failures(
    cells: Sequence[Cell], preset: Preset, entries: Sequence[str] | None = None
) -> list[str]:
    """Return why the gate fails, a line each; none if every compared value is reproduced.

    A value that needs more runs does not fail. A gate that compared nothing does.

    Args:
        cells: of all rows.
        preset: the preset of the results.
        entries: ids that were named by the user; each must have been compared.
    """
    missed = [
        f"{each.entry.entry_id}: {each.column.heading} is {signed(each.comparison.difference)} "
        f"from the published {each.comparison.published} (runs: {each.comparison.runs})"
        for each in cells
        if each.comparison.verdict is Verdict.NOT_REPRODUCED
    ]
    compared = {each.entry.entry_id for each in cells if each.comparison.verdict in COMPARED}
    if not compared:
        reason = preset.not_comparable or "no result of a published value"
        return [f"nothing was compared (preset {preset.name}: {reason})"]
    lost = [name for name in entries or () if name not in compared]
    return missed + [f"{name}: was not compared" for name in lost]
