"""Replay recorded runs of the AP-Loss code base: ``python -m tests.golden.replay_ap_code DIR``.

DIR holds manifest.json and one file per case. Prints a line per case, why it does not agree, and
``N of M agree``; the exit status is 0 only if all agree.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from pathlib import Path

import torch

from rankdet.errors import InputError
from tests.golden.ap_code.cases import Case, Check, golden_folder, read_cases, replay


def guarded(case: Case) -> Check:
    """Replay a case; an exception is a finding."""
    try:
        return replay(case)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return Check(case, problems=[f"{type(error).__name__}: {error} ({place})"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=golden_folder())
    parser.add_argument("--only", default="", help="cases whose name contains this")
    options = parser.parse_args(arguments)
    if not (options.folder / "manifest.json").is_file():
        wanted = InputError(
            "a directory with manifest.json", str(options.folder), "name one that holds cases"
        )
        print(wanted, file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    checks = [guarded(case) for case in read_cases(options.folder) if options.only in case.name]
    for check in checks:
        verdict = "MISS  " if check.problems else "agrees"
        worst = f"largest difference {check.worst:.2g} of the tolerance"
        print(f"{verdict} {check.case.name:28s} {'' if check.problems else worst}".rstrip())
        for line in (*check.problems, *(f"note: {note}" for note in check.notes)):
            print(f"    {line}")
    good = sum(not check.problems for check in checks)
    print(f"{good} of {len(checks)} agree")
    return 0 if checks and good == len(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
