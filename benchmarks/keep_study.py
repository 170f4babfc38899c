"""Copy the finished runs of a study to results/reference/studies/, or back, to continue there.

    python -m benchmarks.keep_study imbalance
    python -m benchmarks.keep_study imbalance --restore

Kept are metrics, provenance without the config, and the errors of the calibration; no weights or
detections. `rankdet study report NAME --results results/reference/studies/NAME/runs` reads them.
``--restore`` does not overwrite: what was kept counts as finished for the workflow (prepare the
data sets first, as newer data train again).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from rankdet.catalogue.studies import part_name, rate_name, study_of
from rankdet.outputs import write_json

REFERENCE = Path("results/reference/studies")
RUN, CALIBRATION = "run.json", "calibration.json"
CONFIG = ("config", "differences")  # in configs/study, at the commit that run.json names
REPORT = ("*.md", "*.csv", "*.svg", "rates.json")


def main() -> None:
    """Keep or restore the runs of one study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--restore", action="store_true", help="copy the kept runs to results/")
    options = parser.parse_args()
    kept = REFERENCE / options.study
    if options.restore:
        count = copy_runs(options.study, kept / "runs", Path("results"), shutil.copy)
    else:
        count = copy_runs(options.study, Path("results"), kept / "runs", shorten)
        for pattern in REPORT:
            for path in Path("results/studies", options.study).glob(pattern):
                shutil.copy(path, kept)
    print(f"{count} runs of study {options.study}")


def copy_runs(study: str, source: Path, target: Path, copy: Callable[[Path, Path], object]) -> int:
    """Copy the runs that are complete in ``source``; return their number."""
    own, count = study_of(study), 0
    measured = [part_name(study, each) for each in own.sets]
    tried = [rate_name(study, rate) for rate in own.learning_rates]
    for preset in (*tried, *measured):
        names = ["metrics.json", RUN, *([CALIBRATION] if preset in measured else [])]
        for first in sorted((source / preset).rglob("metrics.json")):
            if not all((first.parent / name).is_file() for name in names):
                continue
            folder = target / first.parent.relative_to(source)
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                if not (folder / name).exists():
                    copy(first.parent / name, folder / name)
            count += 1
    return count


def shorten(source: Path, target: Path) -> None:
    """Write a record without what the report of a study does not read."""
    content = json.loads(source.read_text())
    if source.name == RUN:
        content = {key: each for key, each in content.items() if key not in CONFIG}
    if source.name == CALIBRATION:
        content = {"record": content["record"]}
    write_json(target, content)


if __name__ == "__main__":
    main()
