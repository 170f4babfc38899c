"""Replay recorded heads: ``python -m tests.golden.replay_heads DIR``.

DIR holds manifest.json and one file per case. Prints a line per head, every case that does not
agree with the reason, and ``N of M agree``; the exit status is 0 only if all agree.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from pathlib import Path

import torch

from tests.golden.heads.cases import Case, golden_folder, read_cases
from tests.golden.heads.check import Check
from tests.golden.heads.registry import replay
from tests.golden.place import use_device


def guarded(case: Case) -> Check:
    """Replay a case; an exception is a finding."""
    try:
        return replay(case)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return Check(case, problems=[f"{type(error).__name__}: {error} ({place})"])


def summary(head: str, checks: list[Check]) -> str:
    """Return one line about a head."""
    good = sum(check.agrees for check in checks)
    line = f"{head:24s} {good:3d} of {len(checks):3d} agree"
    if not any(check.built for check in checks):
        return line + "  (not built)"
    loss = max(check.loss for check in checks)
    gradient = max(check.gradient for check in checks)
    return f"{line}  loss {loss:.0e}, gradient {gradient:.0e}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=golden_folder())
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--notes", action="store_true", help="print agreements with a reservation")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    use_device(options.device)
    warnings.simplefilter("ignore")
    groups: dict[str, list[Check]] = {}
    for case in read_cases(options.folder):
        if options.only in case.name:
            groups.setdefault(case.head, []).append(guarded(case))
    for head, checks in groups.items():
        print(summary(head, checks))
        for check in checks:
            for problem in check.problems if check.built else ():
                print(f"    {check.case.name}: {problem}")
            if not check.built and any(other.built for other in checks):
                print(f"    {check.case.name}: not built")
            for note in check.notes if options.notes else ():
                print(f"    {check.case.name} agrees: {note}")
    every = [check for checks in groups.values() for check in checks]
    good = sum(check.agrees for check in every)
    print(f"{good} of {len(every)} agree")
    return 0 if every and good == len(every) else 1


if __name__ == "__main__":
    sys.exit(main())
