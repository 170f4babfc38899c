"""Wheel and sdist of this checkout, and empty environments to install them into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and from what it contains the wheel, as a package index gets them."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    [sdist] = folder.glob("rankdet-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    shutil.rmtree(source)
    [wheel] = folder.glob("rankdet-*.whl")
    return sdist, wheel


class Environment:
    """A new virtual environment; `with` removes it, for it may hold gigabytes.

    Args:
        folder: where it is made.
        python: the interpreter.
    """

    def __init__(self, folder: Path, python: str | Path = sys.executable) -> None:
        self.folder = folder
        run(python, "-m", "venv", folder)

    def __enter__(self) -> Environment:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def program(self, name: str) -> Path:
        """Return the path of a program of the environment."""
        return self.folder / "bin" / name

    def pip(self, *arguments: str | Path) -> str:
        """Run the environment's pip."""
        return run(self.program("python"), "-m", "pip", "-q", *arguments)

    def call(self, *command: str | Path, **options) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, which sees nothing of this checkout."""
        folder = self.folder / "work"
        folder.mkdir(exist_ok=True)
        hidden = ("PYTHONPATH", "RANKDET_CONFIGS")
        clean = {name: value for name, value in os.environ.items() if name not in hidden}
        options = {"cwd": folder, "env": clean | {"OMP_NUM_THREADS": "1"}} | options
        name, *arguments = map(str, command)
        return subprocess.run(
            [str(self.program(name)), *arguments], capture_output=True, text=True, **options
        )

    def python(self, code: str) -> str:
        """Run Python code; return what it prints."""
        done = self.call("python", "-W", "ignore", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def run(*command: str | Path, **options) -> str:
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout
