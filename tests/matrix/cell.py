"""One cell of the matrix: what is installed, how large, how fast it imports, which tests pass."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import statistics
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.packaging.distributions import ROOT, Environment

LIMIT = 1200  # seconds for a part of the tests; torch may hang in a release
ROUNDS = 9  # processes of which the import time is the median
# Files that the tests of the losses need, beside themselves; the package is the installed one.
LOSSES = (
    *("tests/unit/losses", "tests/golden/data/losses", "docs/use-in-your-detector.md"),
    *("results/reference/losses", "results/reference/adapters", "benchmarks/reference_losses.py"),
    *(f"tests/golden/{name}.py" for name in ("losses_under_test", "place", "replay_losses")),
    *("tests/golden/test_losses.py", "tests/__init__.py", "tests/unit/__init__.py"),
    *("tests/golden/__init__.py", "benchmarks/__init__.py"),
)
EVALUATION = ("tests/unit/evaluation", "tests/fuzz/__init__.py", "tests/fuzz/bounded.py")
# These test the command, mmdet's metric or a benchmark, which are of the pipeline.
NOT_OF_THE_LIBRARY = (
    *("test_cli", "test_compare_command", "test_mmdet_metric", "test_benchmark", "test_lrp_grid"),
)
SETTINGS = "[pytest]\naddopts = -q -p no:cacheprovider\nmarkers =\n    heavy: takes minutes\n"
IMPORT = """
import time, numpy, torch
start = time.process_time()
import rankdet.losses
print(time.process_time() - start)
"""
VERSIONS = """
import importlib.metadata as m, platform, torch
print(platform.python_version(), torch.__version__, m.version("numpy"), m.version("rankdet"))
"""


def measure(
    environment: Environment, wheel: Path, torch: str, with_evaluation: bool, folder: Path
) -> dict:
    """Install torch, then the wheel, and return what was found.

    Args:
        environment: an empty one.
        wheel: of rankdet.
        torch: the version.
        with_evaluation: install that extra and run its tests.
        folder: where the tests are copied to; it must not exist.
    """
    environment.pip("install", f"torch=={torch}")
    before = size(environment)
    environment.pip("install", wheel)
    beyond = size(environment) - before
    python, build, numpy, rankdet = environment.python(VERSIONS).split()
    times = [float(environment.python(IMPORT)) for _ in range(ROUNDS)]
    cell = {
        "python": python,
        "torch": build,
        "numpy": numpy,
        "rankdet": rankdet,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "rankdet_mb": megabytes(size(environment, "rankdet*")),
        "beyond_torch_mb": megabytes(beyond),
        "import_beyond_torch_ms": round(1000 * statistics.median(times), 1),
        "command": command(environment),
    }
    environment.pip("install", "pytest", "hypothesis")
    cell["losses"] = tests(environment, folder / "losses", LOSSES, "tests")
    if with_evaluation:
        environment.pip("install", f"{wheel}[calibration]")
        cell["evaluation"] = tests(environment, folder / "evaluation", EVALUATION, "tests/unit")
    return cell


def machine() -> str:
    """Return processor and cores; nothing that identifies the host."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f"{found[1] if found else platform.machine()}, {os.cpu_count()} cores"


def size(environment: Environment, pattern: str = "*") -> int:
    """Return the bytes of what is installed; compiled Python files are counted too."""
    [packages] = environment.folder.glob("lib/python3*/site-packages")
    found = [path for top in packages.glob(pattern) for path in (top, *top.rglob("*"))]
    return sum(path.stat().st_size for path in found if path.is_file())


def megabytes(count: int) -> float:
    """Return bytes as megabytes with one decimal."""
    return round(count / 1e6, 1)


def command(environment: Environment) -> str:
    """Return the line that `rankdet` answers in an installation for the losses alone.

    Raises:
        RuntimeError: if it answers anything but one line, or does not fail.
    """
    done = environment.call("rankdet", "list")
    if done.returncode != 2 or done.stdout or len(done.stderr.splitlines()) != 1:
        raise RuntimeError(f"rankdet: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stderr.strip()


def tests(environment: Environment, folder: Path, files: tuple[str, ...], target: str) -> dict:
    """Copy tests into a folder without the source of rankdet, run them, and count the outcomes."""
    for name in files:
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    for name in NOT_OF_THE_LIBRARY:
        (folder / "tests/unit/evaluation" / f"{name}.py").unlink(missing_ok=True)
    (folder / "pytest.ini").write_text(SETTINGS)
    command = ("python", "-m", "pytest", target, "--junitxml", folder / "outcomes.xml")
    try:
        done = environment.call(*command, cwd=folder, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        reason = f"no end within {LIMIT // 60} minutes"
        return {"passed": 0, "failed": 1, "skipped": 0, "failures": [reason]}
    outcomes = ElementTree.parse(folder / "outcomes.xml").getroot()
    found = outcomes if outcomes.tag == "testsuite" else outcomes[0]
    counts = {name: int(found.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    bad = ("failure", "error")
    cases = [case for case in found.iter("testcase") if any(map(case.findall, bad))]
    if failed:
        print(done.stdout[-6000:])
    return {
        "passed": counts["tests"] - failed - counts["skipped"],
        "failed": failed,
        "skipped": counts["skipped"],
        "failures": sorted(f"{case.get('classname')}::{case.get('name')}" for case in cases),
    }
