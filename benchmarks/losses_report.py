"""Table and plot of the loss benchmark, and its goals."""

from __future__ import annotations

import csv
import io
import os
import platform
from datetime import date
from pathlib import Path

import torch

from rankdet.files import atomic_path, write_text

# Loop / exact at these N, and bucketed / exact from the first of them on.
LOOP_FLOORS = {
    "AP": {100_000: 6, 200_000: 20, 1_000_000: 55},
    "aLRP": {100_000: 6, 200_000: 20, 1_000_000: 55},
    "Rank & Sort": {100_000: 6, 200_000: 12, 1_000_000: 40},
}
BUCKETED_FLOOR, BUCKETED_FROM, MEMORY_FLOOR = 1.5, 100_000, 6.0
COLUMNS = [
    "loss", "distribution", "P", "N", "loop", "bucketed", "exact", "loop / exact",
    "bucketed / exact", "bucketed memory", "exact memory",
]  # fmt: skip


def _ratio(row: dict, way: str) -> float | None:
    return row[way] / row["exact"] if way in row else None


def floors_missed(rows: list[dict]) -> list[str]:
    """Every goal that a row misses."""
    missed = []
    for row in rows:
        name = f"{row['loss']}, {row['distribution']}, {row['P']}/{row['N']}"
        loop, bucketed = _ratio(row, "loop"), _ratio(row, "bucketed")
        floor = LOOP_FLOORS[row["loss"]].get(row["N"])
        if floor and loop is not None and loop < floor:
            missed.append(f"{name}: {loop:.1f} times the loop, goal {floor}")
        if bucketed is not None and row["N"] >= BUCKETED_FROM and bucketed < BUCKETED_FLOOR:
            missed.append(f"{name}: {bucketed:.2f} times bucketed, goal {BUCKETED_FLOOR}")
        if row.get("exact memory", 0) >= MEMORY_FLOOR:
            missed.append(f"{name}: {row['exact memory']:.1f} arrays, goal {MEMORY_FLOOR}")
    return missed


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} cores"
    return platform.processor()


def _cell(row: dict, column: str) -> str:
    value = row.get(column)
    if column in ("loop / exact", "bucketed / exact"):
        value = _ratio(row, column.split()[0])
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if "memory" in column:
        return f"{value:.2f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


NOTE = """
Forward + backward in milliseconds of CPU time, one thread, float32 logits, medians of rounds in
which the implementations alternate (the loop: one round from 5 000 positives or 20 million
negatives on). *loop*: a plain loop over the positives, every step vectorized over the relevant
negatives (tests/reference_losses.py). *bucketed*: the published approximation (ECCV 2024), our
implementation of its algorithm: joint sort, then all buckets x positives, in blocks of rows.
*exact*: this package. Memory: peak beyond the inputs in arrays of N float64, with the gradient.
"""


def markdown(rows: list[dict]) -> str:
    """The table with where and when it was measured."""
    lines = [
        "# The losses: time and memory",
        "",
        f"{_processor()}; Python {platform.python_version()}, torch {torch.__version__}; "
        f"{date.today().isoformat()}; the machine was shared with other work.",
        NOTE,
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join("---" if k < 2 else "---:" for k in range(len(COLUMNS))) + " |",
    ]
    lines += ["| " + " | ".join(_cell(row, each) for each in COLUMNS) + " |" for row in rows]
    missed = floors_missed(rows)
    lines += ["", "Floors missed: " + ("; ".join(missed) if missed else "none.")]
    return "\n".join(lines) + "\n"


def _plot(folder: Path, rows: list[dict]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    losses = list(dict.fromkeys(row["loss"] for row in rows))
    figure, axes = plt.subplots(1, len(losses), figsize=(11, 3.8), sharey=True, squeeze=False)
    colors = {"loop": "#8a8a8a", "bucketed": "#d08a2e", "exact": "#1f5fa8"}
    styles = {"trained-like": "-", "normal": ":"}
    for axis, loss in zip(axes[0], losses, strict=True):
        for way, color in colors.items():
            for distribution, style in styles.items():
                own = [r for r in rows if (r["loss"], r["distribution"]) == (loss, distribution)]
                own = [row for row in own if way in row]
                if own:
                    axis.plot(
                        range(len(own)),
                        [row[way] for row in own],
                        style,
                        color=color,
                        marker="o",
                        markersize=4,
                        label=f"{way}, {distribution}",
                    )
        sizes = [
            row for row in rows if (row["loss"], row["distribution"]) == (loss, "trained-like")
        ]
        labels = [f"{row['P']:,}\n{row['N']:,}".replace(",", " ") for row in sizes]
        axis.set(title=loss, yscale="log", xlabel="positives / negatives")
        axis.set_xticks(range(len(labels)), labels, fontsize=7)
        axis.grid(True, which="major", alpha=0.3)
    axes[0][0].set_ylabel("forward + backward, ms (one thread)")
    axes[0][0].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    for kind in ("svg", "png"):
        with atomic_path(folder / f"bench.{kind}") as part:
            figure.savefig(part, format=kind, dpi=150)
    plt.close(figure)


def write_report(folder: Path, rows: list[dict]) -> None:
    """bench.csv, bench.md, bench.svg and bench.png in ``folder``."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        full = row | {f"{way} / exact": _ratio(row, way) for way in ("loop", "bucketed")}
        cells = [full.get(each) for each in COLUMNS]
        writer.writerow([f"{c:.6g}" if isinstance(c, float) else c for c in cells])
    write_text(folder / "bench.csv", stream.getvalue())
    write_text(folder / "bench.md", markdown(rows))
    _plot(folder, rows)
