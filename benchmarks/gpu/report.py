"""One CSV file per part, and a page with the results, the machine, and what was not measured."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rankdet.outputs import write_text

NOT_MEASURED = "not measured"


def cell(value) -> str:
    """Return a value as text, or that it was not measured."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def columns(rows: list[dict]) -> list[str]:
    """Return all columns in the order in which they first occur."""
    return list(dict.fromkeys(name for row in rows for name in row))


def write_part(folder: Path, name: str, rows: list[dict]) -> None:
    """Write ``<name>.csv``."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = columns(rows)
    writer.writerow(names)
    writer.writerows([cell(row[each]) if each in row else "" for each in names] for row in rows)
    write_text(folder / f"{name}.csv", stream.getvalue())


def write_page(
    folder: Path, machine: dict[str, str], parts: dict[str, tuple[str, list[dict]]], failures: list
) -> None:
    """Write README.md.

    Args:
        folder: where to write.
        machine: what was measured on.
        parts: title and rows of each part by its name; no rows: it was not run.
        failures: what missed its goal or stopped.
    """
    lines = ["# GPU check: what was measured", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items() if value]
    for name, (title, rows) in parts.items():
        lines += ["", f"## {title}", ""]
        if not rows:
            lines.append(f"{name}: {NOT_MEASURED}.")
            continue
        names = columns(rows)
        lines += ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        for row in rows:
            cells = [cell(row[each]) if each in row else "" for each in names]
            lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Missed or failed: " + ("; ".join(failures) or "nothing") + "."]
    write_text(folder / "README.md", "\n".join(lines) + "\n")
