"""Build ``.venv`` from one pinned set. Standard library only.

    python3 envs/install.py [--torch cpu|cuda] [--ops builtin|mmcv] [--venv .venv]

With ``--ops builtin`` nothing is compiled: mmcv-lite with the operators of `rankdet.ops`. With
``--ops mmcv`` mmcv is compiled once, and its wheel is kept for other clones. What is not chosen
stays as it is in the environment; a new one is for the CPU, with the built-in operators. Each step
prints what it does; a step that fails prints what is missing and what to do. What comes from a
package index is checked against the sha256 in the files here, the kept wheel against the one that
was noted when it was built. pip's output is in ``install.log`` of the environment.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ENVS = Path(__file__).resolve().parent
ROOT = ENVS.parent
STAMP = ".rankdet-environment"
TORCH, OPS = ("cpu", "cuda"), ("builtin", "mmcv")
COLLECTED = itertools.count(1)  # packages, by all processes of pip
MISMATCH = "DO NOT MATCH THE HASHES"  # of pip's message


class StepError(Exception):
    """A step that failed: what is missing and what to do."""


def main() -> int:
    """Run all steps; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # The empty choice is a variable of make that nobody set.
    parser.add_argument("--torch", choices=(*TORCH, ""), default="")
    parser.add_argument("--ops", choices=(*OPS, ""), default="")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument(
        "--dependencies-only", action="store_true", help="all but rankdet itself (images)"
    )
    options = parser.parse_args()
    present = read_stamp(options.venv)
    options.torch = options.torch or present.get("torch", "cpu")
    options.ops = options.ops or present.get("ops", "builtin")
    choices = {"torch": options.torch, "ops": options.ops}
    wanted = choices
    if not options.dependencies_only:  # an image has no more than envs at this point
        wanted = choices | {"fingerprint": fingerprint(**choices)}
        if present == wanted:
            return 0
    try:
        start = time.time()
        say_how_long(options.ops)
        check_machine(options.ops)
        make_venv(options.venv)
        # Not whole until the end, but already chosen.
        write_stamp(options.venv, choices)
        install_packages(options.venv)
        install_torch(options.venv, options.torch)
        if options.ops == "mmcv":
            install_mmcv(options.venv, options.torch)
        else:
            install_mmcv_lite(options.venv)
        if not options.dependencies_only:
            install_rankdet(options.venv)
    except StepError as error:
        print(f"\nenvironment: {error}", file=sys.stderr)
        return 1
    if not options.dependencies_only:
        write_stamp(options.venv, wanted)
    say(f"environment ready in {time.time() - start:.0f} s: {options.venv}")
    return 0


def read_stamp(venv: Path) -> dict[str, str]:
    """Return what an environment was made from: its choices, and with them, once whole, a hash."""
    try:
        found = json.loads((venv / STAMP).read_text())
        if found["torch"] in TORCH and found["ops"] in OPS:
            return found
    except (OSError, ValueError, TypeError, KeyError):
        pass
    # Of an earlier version of this file: its packages tell which operators were chosen.
    return {"ops": "mmcv"} if is_installed(venv, "mmcv") else {}


def write_stamp(venv: Path, content: dict[str, str]) -> None:
    """Note what an environment is made from."""
    (venv / STAMP).write_text(json.dumps(content))


def say_how_long(ops: str) -> None:
    """Print what the installation takes, before it starts."""
    time_needed = "about 3 minutes"
    if ops == "mmcv" and not usable_wheels():
        time_needed += " and 5 to 15 minutes to compile mmcv on two cores"
    say(f"environment: {time_needed}, 2 GB of disk for a CPU; done once")


def fingerprint(torch: str, ops: str) -> str:
    """Return a hash of all that the environment is made from."""
    parts = [torch, ops, sys.version]
    names = ("requirements.txt", "torch-cpu.txt", "torch-cuda.txt", "mmcv.txt", "mmcv-lite.txt")
    parts += [(ENVS / name).read_text() for name in names]
    parts.append((ROOT / "pyproject.toml").read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def check_machine(ops: str) -> None:
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
    if ops == "mmcv" and not usable_wheels():
        check_compiler()
    free = shutil.disk_usage(ROOT).free / 2**30
    if free < 4:
        raise StepError(f"4 GiB of free disk are needed in {ROOT}, {free:.1f} are left; free some")


def check_compiler() -> None:
    """Look for what mmcv is compiled with."""
    otherwise = "or use the built-in operators: make env OPS=builtin"
    if not shutil.which("g++"):
        raise StepError(f"g++ is missing (mmcv); on Debian: apt-get install g++; {otherwise}")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        raise StepError(
            f"{header} is missing (mmcv); on Debian: apt-get install python3-dev; {otherwise}"
        )


def make_venv(venv: Path) -> None:
    """Create the virtual environment, unless it is there."""
    say(f"2/6 virtual environment {venv}")
    is_there = (venv / "bin" / "python").exists()
    if not is_there and subprocess.run([sys.executable, "-m", "venv", str(venv)]).returncode:
        raise StepError("python -m venv failed; see above")
    install_exactly(venv, [pinned("pip")])


def install_packages(venv: Path) -> None:
    """Install the pinned set as it stands; it is complete, so nothing is resolved."""
    say("3/6 pinned packages")
    # Some releases have no wheel: they are built with these, not with whatever is newest.
    install_exactly(venv, [pinned("setuptools"), pinned("wheel")])
    lines = requirements("requirements.txt")
    # Two processes of pip, each with packages of its own, take half the time.
    with ThreadPoolExecutor(2) as pool:
        for done in [
            pool.submit(install_exactly, venv, part, "--no-build-isolation")
            for part in (lines[::2], lines[1::2])
        ]:
            done.result()


def install_torch(venv: Path, build: str) -> None:
    """Install torch with what it needs, held to the pinned versions.

    Each index has files of its own for one version of torch. Those of the default index for GPUs
    are known by their sha256; of another index, and of pip's own settings for a CPU, only whoever
    chose it can say which one is right (``RANKDET_TORCH_SHA256``).
    """
    say(f"4/6 torch ({build})")
    index, sha256 = (os.environ.get(f"RANKDET_TORCH_{name}") for name in ("INDEX", "SHA256"))
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise StepError(f"RANKDET_TORCH_SHA256 must be 64 hexadecimal digits, it is {sha256!r}")
    if build == "cuda" and not (index or sha256):
        install_exactly(venv, requirements("torch-cuda.txt"))
        return
    extra = ["--index-url", index] if index else []
    [torch] = requirements("torch-cpu.txt")
    if sha256:
        install_exactly(venv, [f"{torch} --hash=sha256:{sha256}"], *extra)
    with tempfile.TemporaryDirectory() as folder:
        versions = Path(folder, "versions.txt")
        versions.write_text("\n".join(map(version_only, requirements("requirements.txt"))))
        report = Path(folder, "report.json")
        pip(venv, "install", *extra, "-c", str(versions), "--report", str(report), torch)
        tell_origin(json.loads(report.read_text()))


def tell_origin(report: dict) -> None:
    """Print which file of torch was installed, from pip's report."""
    for item in report["install"]:
        if item["metadata"]["name"] == "torch":
            found = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
            say(
                f"    torch {item['metadata']['version']} with sha256 {found}; "
                "RANKDET_TORCH_SHA256 holds other machines to this file"
            )


def install_mmcv_lite(venv: Path) -> None:
    """Install mmcv without compiled operators; `rankdet.ops` takes their place."""
    say("5/6 mmcv-lite, with the built-in operators of rankdet (nothing is compiled)")
    remove(venv, "mmcv")
    install_exactly(venv, requirements("mmcv-lite.txt"))


def install_mmcv(venv: Path, torch_build: str) -> None:
    """Install mmcv from the cached wheel, built from its source distribution if need be."""
    folder = wheel_folder(venv, torch_build)
    wheel = intact_wheel(folder)
    if wheel:
        say(f"5/6 mmcv {mmcv_version()} from the cache {folder}")
    else:
        wheel = build_mmcv(venv, folder, torch_build)
    remove(venv, "mmcv-lite")
    pip(venv, "install", "--no-deps", "--force-reinstall", str(wheel))
    code = "import torch; from mmcv.ops import nms; nms(torch.rand(2, 4), torch.rand(2), 0.5)"
    run([str(venv / "bin" / "python"), "-c", code], "mmcv's compiled ops do not run", folder)


def remove(venv: Path, package: str) -> None:
    """Remove the other package that holds a module ``mmcv``, if it is there."""
    if is_installed(venv, package):
        pip(venv, "uninstall", "--yes", package)


def is_installed(venv: Path, package: str) -> bool:
    """Whether a package is in the environment."""
    return any(venv.glob(f"lib/python3*/site-packages/{package.replace('-', '_')}-*.dist-info"))


def intact_wheel(folder: Path) -> Path | None:
    """Return the wheel of ``folder`` that was built there and has not changed since."""
    for wheel in sorted(folder.glob("mmcv-*.whl")):
        problem = wheel_problem(wheel)
        if problem is None:
            return wheel
        say(
            f"    {wheel} {problem}: built again (if you trust it as it is: "
            f"cd {folder} && sha256sum {wheel.name} > {note_of(wheel).name})"
        )
    return None


def wheel_problem(wheel: Path) -> str | None:
    """Return why a cached wheel is not used; None if it is the one that was built."""
    try:
        noted = note_of(wheel).read_text(errors="replace").split()[:1]
    except OSError:
        return "has no sha256 noted beside it"
    return None if noted == [sha256_of(wheel)] else "is not what was built, by its sha256"


def note_of(wheel: Path) -> Path:
    """Return the file beside a wheel with its sha256, in the format of sha256sum."""
    return wheel.with_name(wheel.name + ".sha256")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def build_mmcv(venv: Path, folder: Path, torch_build: str) -> Path:
    """Compile mmcv's wheel into ``folder``, showing how far it is."""
    say(f"5/6 mmcv {mmcv_version()} is compiled once (5 to 15 minutes on two cores)")
    say(f"    and then kept in {folder}")
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
            "--no-deps", "--no-binary", "mmcv", "--require-hashes", "-r", str(ENVS / "mmcv.txt"),
            "-w", part,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        show_build(process.stdout, stream)
        wheels = list(Path(part).glob("mmcv-*.whl"))
        if process.wait() or not wheels:
            stream.flush()
            if MISMATCH in log.read_text(errors="replace"):
                raise StepError(f"{wrong_file('mmcv.txt')}; see {log}")
            raise StepError(f"mmcv did not compile; the reason is near the end of {log}")
        return keep_wheel(wheels[0], folder)


def keep_wheel(built: Path, folder: Path) -> Path:
    """Move a built wheel into ``folder`` with its sha256; one that was there before is replaced."""
    wheel = folder / built.name
    # The note first: a kill between the two leaves a wheel that does not fit it, and is not used.
    note_of(wheel).write_text(f"{sha256_of(built)}  {wheel.name}\n")
    os.replace(built, wheel)
    for other in folder.glob("mmcv-*.whl"):
        if other != wheel:
            other.unlink()
    return wheel


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
    pip(venv, "install", "--no-build-isolation", "--no-deps", "-e", str(ROOT))


def usable_wheels() -> list[Path]:
    """Return the cached wheels that are what was built."""
    return [wheel for wheel in cached_wheels() if wheel_problem(wheel) is None]


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
    name = f"python{python}-torch{torch}-mmcv{mmcv_version()}-cuda{cuda}"
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


def requirements(name: str) -> list[str]:
    """Return the requirements of a file here, each in one line with its hashes."""
    lines = (ENVS / name).read_text().replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and line[0] != "#"]


def pinned(name: str) -> str:
    """Return ``name==version`` with its hashes from the pinned set."""
    return next(line for line in requirements("requirements.txt") if line.startswith(f"{name}=="))


def version_only(requirement: str) -> str:
    """Return ``name==version`` of a requirement."""
    return requirement.split(" ")[0]


def mmcv_version() -> str:
    """Return the pinned version of mmcv."""
    return version_only(requirements("mmcv.txt")[0]).partition("==")[2]


def venv_path(venv: Path) -> str:
    """Return PATH with the environment's programs (ninja) first."""
    return f"{(venv / 'bin').resolve()}{os.pathsep}{os.environ['PATH']}"


def install_exactly(venv: Path, lines: list[str], *options: str) -> None:
    """Install requirements with hashes, and nothing else."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(lines))
        file.flush()
        pip(venv, "install", "--no-deps", "--require-hashes", *options, "-r", file.name)


def pip(venv: Path, *arguments: str) -> None:
    """Run the environment's pip: its output goes to a log, a line per 20 packages to the screen."""
    command = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    settings = dict(os.environ, PIP_PROGRESS_BAR="off", PIP_NO_INPUT="1")
    process = subprocess.Popen(
        [*command, *arguments],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines = []
    with (venv / "install.log").open("a", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            if line.startswith("Collecting ") and (number := next(COLLECTED)) % 20 == 0:
                say(f"    {number} packages")
    if process.wait():
        errors = [line for line in lines if line.startswith("ERROR") or MISMATCH in line]
        sys.stderr.writelines(errors or lines[-20:])
        where = f"pip's whole output is in {venv / 'install.log'}"
        if any(MISMATCH in line for line in lines):
            raise StepError(f"{wrong_file('requirements.txt')}; {where}")
        raise StepError(
            "pip failed, see above; check the connection to the package index, then repeat; "
            f"{where}"
        )


def wrong_file(name: str) -> str:
    """Say that what came is not what is pinned."""
    return (
        f"a package came with another sha256 than envs/{name} has: the download is damaged, or "
        "the index has another file. It was not installed. Repeat; if it happens again, check "
        "where pip gets it (pip config list)"
    )


def run(command: list[str], problem: str, folder: Path) -> None:
    """Run a command; where it fails, say what to do."""
    if subprocess.run(command).returncode:
        raise StepError(f"{problem}; remove {folder} to build it again")


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
