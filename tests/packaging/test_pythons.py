"""The library is for Python 3.10 and later, the pipeline for 3.11 and 3.12; each says so."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from rankdet import cli
from tests.packaging.distributions import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
OLDEST = "3.10"
# What runs under every Python. The command is among it, to say what it needs.
LIBRARY = ("losses", "evaluation", "ops", "adapters", "errors.py", "cli/__init__.py", "cli/stop.py")
MARKER = "python_version >= '3.11' and python_version < '3.13'"


def test_the_pythons_of_the_pipeline_are_the_same_everywhere():
    assert cli.PYTHONS == ((3, 11), (3, 12))
    extra = PROJECT["optional-dependencies"]["pipeline"]
    marked = [each.partition("; ")[2] for each in extra if not each.startswith("rankdet[")]
    assert len(marked) > 15 and set(marked) == {MARKER}
    installer = (ROOT / "envs" / "install.py").read_text()
    assert "if not (3, 11) <= sys.version_info[:2] <= (3, 12)" in installer


def test_the_oldest_python_is_the_same_everywhere():
    assert PROJECT["requires-python"] == f">={OLDEST}"
    listed = [each for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert listed[0].endswith(OLDEST) and "target-version" not in PYPROJECT["tool"]["ruff"]


def library():
    """Return the files of the library, with those of rankdet that they import."""
    source = ROOT / "src" / "rankdet"
    waiting = [path for name in LIBRARY for path in files_of(source / name)]
    found = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            names = re.findall(
                r"^(?:from|import) rankdet\.([\w.]+)", path.read_text(), re.MULTILINE
            )
            waiting += [
                each for name in names for each in files_of(source / name.replace(".", "/"))
            ]
    return sorted(found)


def files_of(path):
    """Return the file of a module, or the files of a package."""
    if path.suffix == ".py":
        return [path]
    return [path.with_suffix(".py")] if path.with_suffix(".py").exists() else path.glob("**/*.py")


def test_the_library_is_found():
    names = {path.stem for path in library()}
    assert {"rank_sort", "evaluator", "nms", "outputs"} <= names and "app" not in names


@pytest.mark.skipif(not find_spec("vermin"), reason="vermin is not installed: make lint")
def test_the_library_uses_nothing_newer_than_the_oldest_python():
    """Syntax and standard library. The losses' own tests are held to it too: they run there."""
    tests = [*(ROOT / "tests/unit/losses").glob("*.py"), *(ROOT / "tests/golden").glob("*.py")]
    done = vermin(*library(), *tests)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not find_spec("vermin"), reason="vermin is not installed: make lint")
@pytest.mark.parametrize(
    "code", ["import tomllib", "from enum import StrEnum", "from typing import Self"]
)
def test_what_is_newer_would_be_noticed(tmp_path, code):
    (tmp_path / "newer.py").write_text(code + "\n")
    done = vermin(tmp_path / "newer.py")
    assert done.returncode == 1 and "requires !2, 3.11" in done.stdout


def vermin(*files):
    options = ("-q", "--no-tips", "--eval-annotations", "--violations", f"-t={OLDEST}-")
    command = [Path(sys.prefix) / "bin" / "vermin", *options, *files]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_other_python_is_told_what_the_command_needs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 13, 0, "final", 0))
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "rankdet: error: expected Python 3.11 or 3.12 for the command `rankdet`; got Python 3.13, "
        "where only the library runs; make an environment with Python 3.11 or 3.12 and in it "
        'pip install "rankdet[pipeline]"'
    ]


def test_a_wheel_without_the_extras_names_them(wheel, tmp_path):
    """No installed package at all: the command and the evaluator say what to install."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    commands = {
        "from rankdet.cli import main; main()": 'pip install "rankdet[pipeline]"',
        "import rankdet.evaluation": 'pip install "rankdet[evaluation]"',
    }
    for code, expected in commands.items():
        command = [sys.executable, "-S", "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode and done.stderr.strip().endswith(expected), done.stderr
    assert done.returncode == 1
