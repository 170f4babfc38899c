"""Replay official runs: ``python -m tests.golden.replay_end_to_end DIR``.

DIR holds a folder per recorded entry, named by its id, and loose files (lr_*.json, lvis_*.json,
props_*.npz, pipeline_*.npz). Prints a line per part with the measured errors, every miss with its
reason, and ``N of M agree``; a part that lacks a file is skipped and does not count. The exit
status is 0 only if all parts that ran agree, and one ran.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.golden.end_to_end.cases import coco_folder, golden_folder
from tests.golden.end_to_end.jobs import Job, jobs
from tests.golden.end_to_end.part import Part


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what mmengine and pycocotools print out of the report."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def replay(job: Job, notes: bool) -> list[Part]:
    """Run a job, print its lines and return its parts."""
    start = time.time()
    with quiet():
        parts = job.run()
    for part in parts:
        print(f"{part.line()}  [{(time.time() - start) / len(parts):.0f} s]", flush=True)
        for reason in part.reasons():
            print(f"    {reason}")
        for note in part.notes if notes else ():
            print(f"    note: {note}")
    return parts


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=golden_folder())
    parser.add_argument("--only", default="", help="parts whose name (ENTRY.PART) contains this")
    parser.add_argument("--data", type=Path, help="folder of real COCO images")
    parser.add_argument("--notes", action="store_true", help="print agreements with a reservation")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="at most 3 iterations, and noise only where something misses without it",
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every: list[Part] = []
    with tempfile.TemporaryDirectory() as work:
        data = coco_folder(options.data)
        for job in jobs(options.folder, data, Path(work), options.quick):
            if options.only in job.name:
                every += replay(job, options.notes)
    ran = [part for part in every if not part.skipped]
    good = sum(part.agrees for part in ran)
    print(f"{good} of {len(ran)} agree")
    return 0 if ran and good == len(ran) else 1


if __name__ == "__main__":
    sys.exit(main())
