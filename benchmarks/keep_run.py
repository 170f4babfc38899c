"""Copy the results of a preset to results/reference/, with machine and versions.

    python -m benchmarks.keep_run demo [--seconds 720]

Copies metrics, provenance, tables (Markdown) and figures (SVG), no checkpoints or detections,
and writes a README from the records of the runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchmarks import kept

KEPT = ("metrics.json", "run.json")


def main() -> None:
    """Copy the results of one preset."""
    options = kept.options(__doc__.splitlines()[0], "preset")
    source = Path("results") / options.preset
    target = Path("results/reference") / options.preset
    runs = sorted(
        each.parent for form in ("*", "*/seed-*") for each in source.glob(f"{form}/metrics.json")
    )
    if not runs:
        raise SystemExit(f"expected finished runs in {source}, got none; run the workflow first")
    shutil.rmtree(target, ignore_errors=True)
    for run in runs:
        folder = target / run.relative_to(source)
        folder.mkdir(parents=True)
        for name in KEPT:
            shutil.copy(run / name, folder)
    entries = [run.relative_to(source).parts[0] for run in runs]
    keep_tables(source, target / "tables", entries)
    shutil.copytree(source / "figures", target / "figures", ignore=shutil.ignore_patterns("*.png"))
    (target / "README.md").write_text(page(options, runs))
    print(f"{target}: {len(runs)} runs")


def keep_tables(source: Path, target: Path, entries: list[str]) -> None:
    """Copy, as Markdown, the tables that have a row of ``entries``."""
    target.mkdir()
    folder = source / "all/tables"  # of all rows, where the long target was run
    for table in sorted((folder if folder.is_dir() else source / "tables").glob("*.md")):
        if any(f"`{entry}`" in table.read_text() for entry in entries):
            shutil.copy(table, target)


def page(options: argparse.Namespace, runs: list[Path]) -> str:
    """Return the README: one line per run, then machine and versions."""
    records = [json.loads((run / "run.json").read_text()) for run in runs]
    first = records[0]
    threads = f"; each training on {first['threads']} thread(s), as many in parallel as "
    threads += "there are cores"
    lines = kept.heading(f"Preset {options.preset}", options)
    lines += [
        "| entry | seed | of | AP | AP50 | oLRP | APr, APc, APf | steps | training, s | code |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run, record in zip(runs, records, strict=True):
        metrics = json.loads((run / "metrics.json").read_text())
        cost = f"{record['iterations']} | {record['seconds']:.0f} | {record['git']}"
        for kind, name in (("bbox", "boxes"), ("segm", "masks")):
            if kind in metrics:
                cells = f"{record['entry']} | {record['seed']} | {name} | {figures(metrics[kind])}"
                lines.append(f"| {cells} | {cost} |")
    lines += [
        "",
        *kept.where(first["machine"], first["versions"], threads),
        f"Data {first['data']['name']}.",
    ]
    return "\n".join(lines) + "\n"


def figures(numbers: dict) -> str:
    """Return the cells of one evaluation; LVIS has APs of rare, common and frequent classes."""
    cells = [f"{numbers[name]:.4f}" for name in ("AP", "AP50", "oLRP")]
    groups = [numbers.get(name) for name in ("APr", "APc", "APf")]
    cells.append(", ".join("" if each is None else f"{each:.3f}" for each in groups))
    return " | ".join(cells if "APr" in numbers else [*cells[:-1], ""])


if __name__ == "__main__":
    main()
