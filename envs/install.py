"""Build ``.venv``: one pinned set, mmcv compiled once and cached. Standard library only.

    python3 envs/install.py [--torch cpu|cuda] [--venv .venv] [--dependencies-only]

Each step prints what it does; a step that fails prints what is missing and how to mend it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ENVS = Path(__file__).resolve().parent
ROOT = ENVS.parent
MMCV = "2.1.0"


class StepError(Exception):
    """A step that failed: what is missing and how to mend it."""


def main() -> int:
    """Run all steps; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument(
        "--dependencies-only", action="store_true", help="all but rankdet itself (images)"
    )
    options = parser.parse_args()
    stamp = options.venv / ".rankdet-environment"
    wanted = "" if options.dependencies_only else fingerprint(options.torch)
    if wanted and stamp.exists() and stamp.read_text() == wanted:
        return 0
    try:
        start = time.time()
        check_machine()
        make_venv(options.venv)
        install_torch(options.venv, options.torch)
        install_packages(options.venv)
        install_mmcv(options.venv, options.torch)
        if wanted:
            install_rankdet(options.venv)
    except StepError as error:
        print(f"\nenvironment: {error}", file=sys.stderr)
        return 1
    if wanted:
        stamp.write_text(wanted)
    say(f"environment ready in {time.time() - start:.0f} s: {options.venv}")
    return 0


def fingerprint(torch_build: str) -> str:
    """Return a hash of all that the environment is made from."""
    parts = [torch_build, sys.version, MMCV]
    names = ("requirements.txt", f"torch-{torch_build}.txt")
    parts += [(ENVS / name).read_text() for name in names]
    parts.append((ROOT / "pyproject.toml").read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def check_machine() -> None:
    """Look for what pip cannot install."""
    say(f"1/6 machine: Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    if not (3, 11) <= sys.version_info[:2] <= (3, 12):
        raise StepError(
            f"Python 3.11 or 3.12 is needed, this is {sys.version.split()[0]}; "
            "name another: make demo PYTHON=python3.11"
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise StepError(
            "Python's venv is missing; on Debian: apt-get install python3-venv"
        ) from None
    if not cached_wheels():
        if not shutil.which("g++"):
            raise StepError("a C++ compiler is missing (mmcv); on Debian: apt-get install g++")
        header = Path(sysconfig.get_paths()["include"]) / "Python.h"
        if not header.exists():
            raise StepError(f"{header} is missing (mmcv); on Debian: apt-get install python3-dev")
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < 4:
        raise StepError(f"4 GiB of free disk are needed in {ROOT}, {free:.1f} are left; free some")


def make_venv(venv: Path) -> None:
    """Create the virtual environment, unless it is there."""
    say(f"2/6 virtual environment {venv}")
    if not (venv / "bin" / "python").exists():
        run([sys.executable, "-m", "venv", str(venv)], "python -m venv failed; see above")
    pip(venv, "install", "-q", "--upgrade", pinned("pip"))


def install_torch(venv: Path, build: str) -> None:
    """Install torch with what it needs, held to the pinned versions."""
    say(f"3/6 torch ({build})")
    index = os.environ.get("RANKDET_TORCH_INDEX")
    extra = ["--index-url", index] if index else []
    constraints = ["-c", str(ENVS / "requirements.txt")]
    pip(venv, "install", "-q", *extra, *constraints, "-r", str(ENVS / f"torch-{build}.txt"))


def install_packages(venv: Path) -> None:
    """Install the pinned set as it stands; it is complete, so nothing is resolved."""
    say("4/6 pinned packages")
    pip(venv, "install", "-q", "--no-deps", "-r", str(ENVS / "requirements.txt"))


def install_mmcv(venv: Path, torch_build: str) -> None:
    """Install mmcv from the cached wheel, built from its source distribution if need be."""
    folder = wheel_folder(venv, torch_build)
    wheels = list(folder.glob("mmcv-*.whl"))
    if wheels:
        say(f"5/6 mmcv {MMCV} from the cache {folder}")
    else:
        wheels = [build_mmcv(venv, folder, torch_build)]
    pip(venv, "install", "-q", "--no-deps", "--force-reinstall", str(wheels[0]))
    code = "import torch; from mmcv.ops import nms; nms(torch.rand(2, 4), torch.rand(2), 0.5)"
    run([str(venv / "bin" / "python"), "-c", code], "mmcv's compiled ops do not run", folder)


def build_mmcv(venv: Path, folder: Path, torch_build: str) -> Path:
    """Compile mmcv's wheel into ``folder``, showing how far it is."""
    say(f"5/6 mmcv {MMCV} is compiled once (5 to 15 minutes on two cores), then kept in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "build.log"
    environment = dict(os.environ, MMCV_WITH_OPS="1", PATH=venv_path(venv))
    if torch_build == "cuda":
        if not find_nvcc():
            raise StepError(
                "CUDA's compiler nvcc is missing (mmcv); install the CUDA toolkit of torch's "
                "version and set CUDA_HOME, or load the cluster's module for it"
            )
        # A login node has the compiler and no GPU; without this mmcv leaves the CUDA code out.
        environment.setdefault("FORCE_CUDA", "1")
    environment.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    with tempfile.TemporaryDirectory(dir=folder) as part, log.open("w") as stream:
        command = [
            str(venv / "bin" / "python"), "-m", "pip", "wheel", "-v", "--no-build-isolation",
            "--no-deps", "--no-binary", "mmcv", f"mmcv=={MMCV}", "-w", part,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        show_build(process.stdout, stream)
        wheels = list(Path(part).glob("mmcv-*.whl"))
        if process.wait() or not wheels:
            raise StepError(f"mmcv did not compile; the reason is near the end of {log}")
        return Path(shutil.move(wheels[0], folder / wheels[0].name))


def show_build(lines, log) -> None:
    """Copy the build's output to ``log`` and print every tenth of its compile steps."""
    shown = -1
    start = time.time()
    for line in lines:
        log.write(line)
        step = re.match(r"\s*\[(\d+)/(\d+)\]", line)
        if step:
            tenth = 10 * int(step[1]) // int(step[2])
            if tenth > shown:
                shown = tenth
                say(f"    mmcv {step[1]}/{step[2]} files, {time.time() - start:.0f} s")


def install_rankdet(venv: Path) -> None:
    """Install this checkout in place."""
    say("6/6 rankdet")
    pip(venv, "install", "-q", "--no-build-isolation", "--no-deps", "-e", str(ROOT))


def cached_wheels() -> list[Path]:
    """Return mmcv wheels of this Python in the cache, whatever torch they were built for."""
    return list(
        cache_root().glob(f"python{sys.version_info[0]}.{sys.version_info[1]}-*/mmcv-*.whl")
    )


def wheel_folder(venv: Path, torch_build: str) -> Path:
    """Return the cache folder keyed by (python, torch, mmcv, CUDA of the operators)."""
    code = "import torch; print(torch.__version__, torch.version.cuda or 'none')"
    command = [str(venv / "bin" / "python"), "-W", "ignore", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise StepError(f"torch does not import: {found.stderr.strip().splitlines()[-1:]}")
    torch, cuda = found.stdout.split()[-2:]
    if torch_build == "cpu":  # also where torch itself is a CUDA build
        cuda = "none"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    name = f"python{python}-torch{torch}-mmcv{MMCV}-cuda{cuda}"
    architectures = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    if cuda != "none" and architectures:  # code for one GPU does not run on another
        name += "-sm" + "_".join(architectures)
    return cache_root() / name


def find_nvcc() -> str | None:
    """Return CUDA's compiler where torch's build looks for it."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    for home in [*homes, "/usr/local/cuda"]:
        if (Path(home) / "bin" / "nvcc").exists():
            return str(Path(home) / "bin" / "nvcc")
    return shutil.which("nvcc")


def cache_root() -> Path:
    """Return the folder of built wheels: outside the checkout, so that every clone shares it."""
    if "RANKDET_CACHE" in os.environ:
        return Path(os.environ["RANKDET_CACHE"]) / "wheels"
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "rankdet" / "wheels"


def pinned(name: str) -> str:
    """Return ``name==version`` from the pinned set."""
    lines = (ENVS / "requirements.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}=="))


def venv_path(venv: Path) -> str:
    """Return PATH with the environment's programs (ninja) first."""
    return f"{(venv / 'bin').resolve()}{os.pathsep}{os.environ['PATH']}"


def pip(venv: Path, *arguments: str) -> None:
    """Run the environment's pip."""
    command = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    mend = (
        "pip failed: see its message above; check the connection to the package index, then again"
    )
    run([*command, *arguments], mend)


def run(command: list[str], mend: str, folder: Path | None = None) -> None:
    """Run a command; where it fails, say how to mend it."""
    if subprocess.run(command).returncode:
        raise StepError(mend + (f"; remove {folder} to build it again" if folder else ""))


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
