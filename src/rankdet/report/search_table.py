"""The result of a search as a table: found and published control points and gradient scales."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from rankdet.outputs import write_text
from rankdet.report.formats import environment
from rankdet.report.plain import spreadsheet

FUNCTIONS = ("H2", "I2", "I3", "I1", "H1")
SOURCES = {
    "start": "initial",
    "best": "best sample",
    "mean": "final mean",
    "published": "published",
}
HEADER = ("head", "function", "source", "point 1", "point 2", "point 3", "point 4")


def heads_by_source(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the heads of each source of `SOURCES` from the content of ``found.json``."""
    return {
        source: found[source]["heads"] if source in ("best", "mean") else found[source]
        for source in SOURCES
    }


def table_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a row for each head, function and source; the gradient scales come last."""
    sources = heads_by_source(found)
    rows = []
    for head in found["start"]:
        for place, function in enumerate(FUNCTIONS):
            for source, name in SOURCES.items():
                points = sources[source][head]["control_points"]
                if place < len(points):
                    row = points[place][2:-2]
                    pairs = zip(row[::2], row[1::2], strict=True)
                    cells = (f"({x:.3f}, {y:.3f})" for x, y in pairs)
                    rows.append((head, function, name, *cells))
        for source, name in SOURCES.items():
            scale = f"{sources[source][head]['box_gradient_scale']:.3f}"
            rows.append((head, "gradient scale", name, scale, "", "", ""))
    return rows


def note(found: dict[str, Any]) -> str:
    """Return a summary of the search."""
    plan, best = found["plan"], found["best"]
    used = "the best sample" if found["used"] == "best" else "the final mean"
    failed = sum(turn["failed"] for turn in found["rounds"])
    applied = (
        "is applied"
        if plan["apply_gradient_scale"]
        else "is sampled but not applied, as in the released code"
    )
    text = (
        f"Search {plan['name']}: {plan['rounds']} rounds of {plan['samples']} proxies of "
        f"{plan['entry']}, preset {plan['preset']}, data {plan['data']}, seed {plan['seed']}. "
        f"Best reward {100 * best['reward']:.1f} AP (round {best['round']}, sample "
        f"{best['sample']}); {failed} proxies failed. The gradient scale {applied}. "
        f"found.py uses {used}."
    )
    if plan["preset"] != "paper":
        text += " Not the paper's search: its points are not comparable to the published ones."
    return text


def write_table(found: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write ``search.csv``, ``.md`` and ``.html``; return the paths."""
    rows = table_rows(found)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([HEADER, *([*map(spreadsheet, row[:3]), *row[3:]] for row in rows)])
    shown = {"note": note(found), "header": HEADER, "rows": rows}
    texts = {"csv": stream.getvalue()} | {
        form: environment().get_template(f"search.{form}.j2").render(shown)
        for form in ("md", "html")
    }
    paths = [Path(folder) / f"search.{form}" for form in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths
