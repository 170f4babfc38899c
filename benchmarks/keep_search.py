"""Copy the result of a search to results/reference/search/, with machine and versions.

python -m benchmarks.keep_search demo [--seconds 540]
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchmarks import kept
from rankdet import provenance

KEPT = ("found.json", "training.json", "search.svg", "search.png", "search.csv", "search.md")


def main() -> None:
    """Copy the results of one search."""
    options = kept.options(__doc__.splitlines()[0], "search")
    source = Path("results/search") / options.search
    target = Path("results/reference/search") / options.search
    missing = [name for name in KEPT if not (source / name).is_file()]
    if missing:
        raise SystemExit(f"expected a finished search in {source}; no {', '.join(missing)} there")
    target.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        shutil.copy(source / name, target)
    (target / "README.md").write_text(page(options, source))
    print(target)


def page(options: argparse.Namespace, source: Path) -> str:
    """Return the README."""
    training = json.loads((source / "training.json").read_text())
    lines = kept.heading(f"Search {options.search}", options)
    lines += [
        "[search.md](search.md): initial, found, published points; search.png: rewards.",
        f"The found config was then trained on the complete splits: box AP "
        f"{training['reward']:.4f} after {training['seconds']} s (a proxy-sized "
        "run: it shows that the config trains).",
        "",
        *kept.where(provenance.machine(), provenance.versions()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
