"""What the matrix has found so far, as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
TORCHES = ("2.4.1", "2.6.0", "2.13.0", "2.14.1")  # columns, with all that were run
PAGE = """# Python x torch

Tests of the losses and the recorded outputs of the official code, against the wheel in an empty
environment: passed / failed / skipped. One cell: `python -m tests.matrix PYTHON TORCH`.

{grid}

*not run*: no such environment was made. Python 3.14: no interpreter on the machine. *no wheel*:
that torch has none for that Python.

## What was installed

*Size*: files of rankdet, and all that is installed beyond torch and what it requires (numpy, where
torch does not bring it). *Import*: CPU time of `import rankdet.losses` after torch and numpy,
median of {rounds} processes on a shared machine.

{cells}

{failures}## The evaluator

Its tests (without those of the command, of mmdet's metric and of the benchmarks):

{evaluation}

## The command

In each of these environments, which have only the losses, the command `rankdet` answers one line
with exit code 2:

{commands}
"""
# Releases of torch with no file for a Python.
NO_WHEEL = {("3.13", "2.4.1"), ("3.14", "2.4.1"), ("3.14", "2.6.0")}


def keep(folder: Path, cell: dict) -> None:
    """Add a cell to matrix.json, in place of an older one of the same versions."""
    cells = {key_of(each): each for each in read(folder)} | {key_of(cell): cell}
    ordered = [cells[key] for key in sorted(cells, key=lambda key: tuple(map(numbers, key)))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "matrix.json").write_text(json.dumps(ordered, indent=1) + "\n")


def read(folder: Path) -> list[dict]:
    """Return the cells of matrix.json, none without it."""
    path = folder / "matrix.json"
    return json.loads(path.read_text()) if path.exists() else []


def key_of(cell: dict) -> tuple[str, str]:
    """Return a cell's place: minor version of Python, release of torch."""
    return cell["python"].rpartition(".")[0], cell["torch"].partition("+")[0]


def numbers(version: str) -> tuple[int, ...]:
    """Return a version for sorting."""
    return tuple(map(int, version.split(".")))


def write_page(folder: Path) -> None:
    """Write matrix.md from matrix.json."""
    from tests.matrix.cell import ROUNDS

    cells = {key_of(cell): cell for cell in read(folder)}
    torches = sorted({torch for _, torch in cells} | set(TORCHES), key=numbers)
    grid = table(["Python", *(f"torch {torch}" for torch in torches)])
    for python in PYTHONS:
        grid += row([python, *(outcome(cells, python, torch) for torch in torches)])
    names = ("python", "torch", "numpy", "date", "machine")
    sizes = ("rankdet_mb", "beyond_torch_mb", "import_beyond_torch_ms")
    listed = table([*names, "rankdet, MB", "beyond torch, MB", "import, ms"])
    listed += "".join(
        row([str(cell[name]) for name in (*names, *sizes)]) for cell in cells.values()
    )
    evaluation = table(["Python", "torch", "passed / failed / skipped"]) + "".join(
        row([cell["python"], cell["torch"], counts(cell["evaluation"])])
        for cell in cells.values()
        if "evaluation" in cell
    )
    failures = "".join(
        f"- Python {cell['python']}, torch {cell['torch']}: `{name}`\n"
        for cell in cells.values()
        for part in ("losses", "evaluation")
        for name in cell.get(part, {}).get("failures", [])
    )
    commands = "".join(f"    {line}\n" for line in sorted({c["command"] for c in cells.values()}))
    text = PAGE.format(
        grid=grid.rstrip(),
        cells=listed.rstrip(),
        failures=f"## What failed\n\n{failures}\n" if failures else "",
        evaluation=evaluation.rstrip(),
        commands=commands.rstrip(),
        rounds=ROUNDS,
    )
    (folder / "matrix.md").write_text(text)


def outcome(cells: dict, python: str, torch: str) -> str:
    """Return what stands in one cell of the grid."""
    if (python, torch) in cells:
        return counts(cells[python, torch]["losses"])
    return "no wheel" if (python, torch) in NO_WHEEL else "not run"


def counts(found: dict) -> str:
    """Return outcomes as text."""
    return f"{found['passed']} / {found['failed']} / {found['skipped']}"


def table(titles: list[str]) -> str:
    """Return the head of a Markdown table."""
    return row(titles) + row(["---"] * len(titles))


def row(values: list[str]) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(values)} |\n"
