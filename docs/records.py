"""Measured numbers for README and guides, read from the records of this repository.

A block between ``[[[cog`` and ``[[[end]]]`` in a page is written by `make docs-numbers` with these
functions; tests/docs/test_numbers.py fails if a number of a page is not the one of its record.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference"

Row = dict[str, str]


def rows(path: str) -> list[Row]:
    """Return the lines of a CSV file below results/reference."""
    return _read(REFERENCE / path)


def rehearsed() -> list[Row]:
    """Return the record of preset rehearsal."""
    return _read(ROOT / "configs" / "rehearsed.csv")


def gib(*names: str) -> float:
    """Return the size of files of configs/downloads.csv."""
    sizes = {row["name"]: row["size_bytes"] for row in _read(ROOT / "configs" / "downloads.csv")}
    return sum(int(sizes[name]) for name in names) / 2**30


def rows_with_a_config() -> int:
    """Return how many rows of the catalogue have a config."""
    entries = _read(ROOT / "configs" / "experiments.csv")
    paths = [ROOT / "configs" / row["family"] / f"{row['entry_id']}.py" for row in entries]
    return sum(path.is_file() for path in paths)


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def total(lines: Iterable[Row], column: str) -> float:
    """Return the sum of a column."""
    return sum(float(row[column]) for row in lines)


def table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; columns after the first are aligned to the right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (header, rule, *lines))


def table_of(path: str, columns: Sequence[str], keep: int | None = None) -> str:
    """Return the first Markdown table of a record.

    Args:
        path: of a page below results/reference.
        columns: its headings in place of those of the record.
        keep: number of lines; None keeps all.
    """
    cells = _cells(path)
    if not cells or len(cells[0]) != len(columns):
        raise ValueError(f"{path} has no table of {len(columns)} columns")
    return table(columns, cells[2:][:keep])


def _cells(path: str) -> list[list[str]]:
    """Return the cells of a record's Markdown table, with its heading and the rule below."""
    lines = (REFERENCE / path).read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]


class Least(NamedTuple):
    """The shortest time in a table of times by nodes, and the fewest nodes that reach it."""

    days: str
    nodes: str


def least(path: str, column: str) -> Least:
    """Return the smallest value of a column of the first table of a record, by its heading."""
    head, _, *body = _cells(path)
    place = head.index(column)
    row = min(body, key=lambda cells: float(cells[place]))
    return Least(row[place], row[head.index("nodes")])


def hours(*patterns: str, epochs: int) -> str:
    """Return the GPU hours of some rows, as ``19`` or ``19 to 35``.

    Args:
        patterns: of entry ids, with ``*``; one that starts with ``!`` leaves rows out.
        epochs: of the rows.
    """
    chosen = {
        round(float(row["gpu_hours"]))
        for row in rows("scaling/rows.csv")
        if int(row["epochs"]) == epochs and _fits(row["entry"], patterns)
    }
    low, high = min(chosen), max(chosen)
    return str(low) if low == high else f"{low} to {high}"


def _fits(name: str, patterns: Sequence[str]) -> bool:
    left_out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    return any(fnmatchcase(name, each) for each in wanted) and not any(
        fnmatchcase(name, each) for each in left_out
    )


def coverage(number: str, images: int, method: str) -> str:
    """Return the measured coverage of an interval in percent, mean over the populations."""
    found = [
        float(row["coverage"])
        for row in rows("evaluation/coverage.csv")
        if (row["number"], row["images"], row["method"]) == (number, str(images), method)
    ]
    return f"{100 * sum(found) / len(found):.1f}"


class Study:
    """The record of a study: the means of its summary.csv.

    Args:
        name: of the study, a folder of results/reference/studies.
    """

    def __init__(self, name: str) -> None:
        self.means = rows(f"studies/{name}/summary.csv")
        self.runs = rows(f"studies/{name}/runs.csv")
        self.sets = list(dict.fromkeys(row["set"] for row in self.means))
        self._cells = {(row["set"], row["detector"], row["loss"]): row for row in self.means}
        self._methods = list(dict.fromkeys((row["detector"], row["loss"]) for row in self.means))

    def value(self, metric: str, set_name: str, detector: str, loss: str) -> float:
        """Return the mean of one cell."""
        return float(self._cells[set_name, detector, loss][metric])

    def table(self, metric: str, titles: Mapping[str, str]) -> str:
        """Return a line per method with the mean of a metric on each set of ``titles``.

        The highest value of a detector is bold.
        """
        lines = []
        for method in self._methods:
            rivals = [own for own in self._methods if own[0] == method[0]]
            cells = []
            for each in titles:
                value = self.value(metric, each, *method)
                best = max(self.value(metric, each, *own) for own in rivals)
                cells.append(f"**{value:.1f}**" if value == best else f"{value:.1f}")
            lines.append((", ".join(method), *cells))
        return table(("detector, loss", *titles.values()), lines)

    def over_sets(self, metrics: Mapping[str, int]) -> str:
        """Return a line per method with means over all sets; ``metrics`` gives their decimals."""
        lines = []
        for method in self._methods:
            found = {
                metric: statistics.fmean(self.value(metric, each, *method) for each in self.sets)
                for metric in metrics
            }
            cells = (f"{found[metric]:.{digits}f}" for metric, digits in metrics.items())
            lines.append((", ".join(method), *cells))
        return table(("detector, loss", *metrics), lines)

    def half(self, metric: str) -> float:
        """Return half the 95 % interval of a mean, which is the same in every cell.

        Raises:
            ValueError: if it is not, as with unequal numbers of seeds.
        """
        (half,) = {row[f"{metric} ±"] for row in self.means}
        return float(half)
