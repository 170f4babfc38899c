"""``python -m tests.cases FOLDER [NAME ...]``: run each case in a copy, print its verdict."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cases.verdicts import VERDICTS

CHECKOUT = Path(__file__).parents[2]
SECONDS = 600
COMMAND = """#!/bin/sh
exec "{python}" -c 'import sys; sys.argv[0] = "rankdet"; from rankdet.cli import main; main()' "$@"
"""


@dataclass(frozen=True)
class Run:
    """What a case printed and left."""

    folder: Path
    text: str
    code: int

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def codes(self):
        """The exit codes that the script printed."""
        words = self.text.replace(":", " ").split()
        return [int(word[3:]) for word in words if word.startswith("rc=") and word[3:].isdigit()]

    @property
    def errors(self):
        return [line for line in self.lines if line.startswith("rankdet: error: ")]

    def read(self, name):
        path = self.folder / name
        return path.read_text(errors="replace") if path.is_file() else ""

    @property
    def is_clean(self):
        """Whether no traceback stands in the output or a log."""
        logs = [path.read_text(errors="replace") for path in self.folder.glob("*.log")]
        return not any("Traceback" in text for text in [self.text, *logs])


def run_case(case: Path, place: Path, environment: dict) -> Run:
    """Run the case's script in a copy of its folder."""
    folder = place / case.name
    shutil.copytree(case, folder)
    with (place / f"{case.name}.out").open("w+") as stream:
        process = subprocess.Popen(
            ["bash", "cmd.sh"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            code = process.wait()
        stream.seek(0)
        return Run(folder, stream.read(), code)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    cases = sorted(path.parent for path in given.folder.glob("*/cmd.sh"))
    chosen = [case for case in cases if not given.names or case.name in given.names]
    failed = []
    with tempfile.TemporaryDirectory() as place:
        command = Path(place) / "bin" / "rankdet"
        command.parent.mkdir()
        command.write_text(COMMAND.format(python=sys.executable))
        command.chmod(0o755)
        search = os.pathsep.join(
            [str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        environment = os.environ | {
            "PATH": search,
            "PYTHONPATH": str(CHECKOUT / "src"),
            "CHECKOUT": str(CHECKOUT),
            "OMP_NUM_THREADS": "1",
        }
        for case in chosen:
            began = time.monotonic()
            run = run_case(case, Path(place), environment)
            judge = VERDICTS.get(case.name)
            verdict = "no verdict" if judge is None else "right" if judge(run) else "WRONG"
            print(f"{verdict:10}  {case.name:45} {time.monotonic() - began:6.1f} s", flush=True)
            if verdict != "right":
                failed.append(case.name)
                print("\n".join(f"    | {line[:300]}" for line in run.lines[-12:]))
    print(f"{len(chosen) - len(failed)} of {len(chosen)} cases are right")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
