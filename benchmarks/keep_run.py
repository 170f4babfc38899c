"""Keep what a preset's run measured under results/reference/, with machine and versions.

    python -m benchmarks.keep_run demo [--seconds 720]

Copies metrics, provenance, tables and figures (no checkpoints, no detections) and writes a README
from the runs' own records.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

KEPT = ("metrics.json", "run.json")


def main() -> None:
    """Copy the results of one preset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--seconds", type=float, help="wall time of the whole workflow run")
    parser.add_argument("--note", default="", help="what a reader must know of this run")
    options = parser.parse_args()
    source = Path("results") / options.preset
    target = Path("results/reference") / options.preset
    runs = sorted(source.glob("*/run.json"))
    if not runs:
        raise SystemExit(f"expected finished runs in {source}, got none; run the workflow first")
    shutil.rmtree(target, ignore_errors=True)
    for run in runs:
        folder = target / run.parent.name
        folder.mkdir(parents=True)
        for name in KEPT:
            shutil.copy(run.parent / name, folder)
    for name in ("tables", "figures", "all/tables"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name)
    records = [json.loads(run.read_text()) for run in runs]
    (target / "README.md").write_text(page(options, source, records))
    print(f"{target}: {len(runs)} runs")


def page(options: argparse.Namespace, source: Path, records: list[dict]) -> str:
    """Return the README: one line a run, then machine and versions."""
    first = records[0]
    machine, versions = first["machine"], first["versions"]
    lines = [f"# Preset {options.preset}: what was measured", ""]
    if options.seconds:
        lines += [f"The whole workflow took {options.seconds / 60:.1f} minutes.", ""]
    if options.note:
        lines += [options.note, ""]
    lines += [
        "| entry | of | AP | AP50 | oLRP | APr, APc, APf | iterations | training, s | code |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for record in records:
        metrics = json.loads((source / record["entry"] / "metrics.json").read_text())
        cost = f"{record['iterations']} | {record['seconds']:.0f} | {record['git']}"
        for kind, name in (("bbox", "boxes"), ("segm", "masks")):
            if kind in metrics:
                cells = f"{record['entry']} | {name} | {figures(metrics[kind])}"
                lines.append(f"| {cells} | {cost} |")
    lines += [
        "",
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"GPU {machine['gpu'] or 'none'}; each training on {first['threads']} thread(s), as many "
        "beside each other as there are cores.",
        "Versions: " + ", ".join(f"{name} {found}" for name, found in versions.items()) + ".",
        f"Seed {first['seed']}, data {first['data']['name']}.",
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
