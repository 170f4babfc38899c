"""Build the CPU image without a Docker daemon, run one experiment in it, and record the times.

    python -m benchmarks.image [--ops builtin|mmcv]

Writes results/reference/image/README.md. Needs root, buildah, debootstrap and 8 GiB of disk, which
are freed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from benchmarks.image_build import ROOT, Image, cached_wheel, unfit
from rankdet.outputs import write_text

TARGET = ROOT / "results" / "reference" / "image" / "README.md"
SMOKE = ("rs_atss_r50", "--preset", "smoke", "--threads", "1")


def main() -> None:
    """Build, run, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--ops",
        choices=("builtin", "mmcv"),
        default="builtin",
        help="mmcv: compiled, from this machine's wheel where there is one",
    )
    options = parser.parse_args()
    if reason := unfit():
        raise SystemExit(reason)
    wheel = cached_wheel() if options.ops == "mmcv" else None
    with tempfile.TemporaryDirectory() as folder:
        image = Image(Path(folder) / "store", wheel)
        try:
            record(image, options.ops, Path(folder) / "results")
        finally:
            image.remove()
    print(TARGET.relative_to(ROOT))


def record(image: Image, ops: str, results: Path) -> None:
    """Build, run and write the page; with Apptainer's times if it is installed."""
    results.mkdir()
    results.chmod(0o777)
    steps = []

    def timed(what: str, work):
        start, before = time.time(), os.times()
        done = work()
        after = os.times()
        processor = sum(after[2:4]) - sum(before[2:4])
        steps.append((what, time.time() - start, processor))
        if getattr(done, "returncode", 0):
            raise SystemExit(f"{what} failed:\n{done.stdout}{done.stderr}")
        return done

    how = "built-in operators"
    if ops == "mmcv":
        how = "a built mmcv wheel" if image.wheel else "mmcv compiled"
    revision = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    arguments = (f"--build-arg=REVISION={revision}", f"--build-arg=OPS={ops}")
    timed(f"build, {how}", lambda: image.build(*arguments))
    doctor = timed("`rankdet doctor`", lambda: image.run("doctor"))
    mounts = {"/results": results}
    for verb in ("train", "predict"):
        command = (verb, *SMOKE)
        timed(
            f"`rankdet {' '.join(command)}`",
            lambda command=command: image.run(*command, mounts=mounts),
        )
    run = json.loads((results / "smoke" / "rs_atss_r50" / "run.json").read_text())
    write_text(TARGET, page(image, steps, doctor.stdout, run))
    if not shutil.which("apptainer"):
        return
    sif = timed("Apptainer file from it, `rankdet doctor` in it", image.sif)
    inside = ("run", "--containall", "--bind", f"{results}:/results", str(sif))
    timed(
        f"the same training by `apptainer run`, file of {sif.stat().st_size / 1e9:.2f} GB",
        lambda: image.apptainer(*inside, "train", *SMOKE),
    )
    timed(
        "the row's whole DAG by `snakemake --sdm apptainer`, every rule in the file",
        lambda: workflow(sif, image.store / "project"),
    )
    write_text(TARGET, page(image, steps, doctor.stdout, run))


def workflow(sif: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run one row from data to metrics with every rule in the Apptainer file."""
    folder.mkdir()
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "configs"):
        shutil.copytree(ROOT / name, folder / name)
    command = [sys.executable, "-m", "snakemake", "--profile", "workflow/profiles/local"]
    command += ["--software-deployment-method", "apptainer", "--config", f"image={sif}"]
    target = "results/smoke/rs_atss_r50/metrics.json"
    return subprocess.run([*command, "--", target], cwd=folder, capture_output=True, text=True)


def page(image: Image, steps: list, doctor: str, run: dict) -> str:
    """Return the README: times, size, `rankdet doctor` inside, machine and versions."""
    machine, versions = run["machine"], run["versions"]
    builder = image.buildah("--version").stdout.split()[2]
    lines = [
        "# The image: built and run",
        "",
        "Written by `make record-image`: the CPU image of `Dockerfile`, built by Buildah (chroot",
        "isolation, no daemon) over a Debian 12 base, then run without a network and as user 1000.",
        f"All layers: {image.size() / 1e9:.2f} GB. The CUDA image was not built here: the machine",
        "reaches no image registry and has no GPU.",
        "",
        "| step | wall, s | processor, s |",
        "|---|---|---|",
        *(f"| {what} | {wall:.0f} | {processor:.0f} |" for what, wall, processor in steps),
        "",
        "Other work ran on the machine; the processor time is that of the step alone. Making the",
        "Debian base, once, is not part of it.",
        "",
        "Inside, `rankdet doctor`:",
        "",
        *("    " + line.rstrip() for line in doctor.splitlines()),
        "",
        f"{date.today()}, commit {run['git']}; {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB; Buildah {builder}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items() if number)
        + ".",
        "",
        "The build's own account:",
        "",
        *("    " + line for line in account(image.log.read_text())),
        "",
    ]
    return "\n".join(lines)


def account(log: str) -> list[str]:
    """Return the steps of the build log, with the installer's messages."""
    wanted = re.compile(r"^(\[\d/\d\] STEP|\d/6 |    mmcv \d|environment ready|\[\d/\d\] COMMIT)")
    lines = [line for line in log.splitlines() if wanted.match(line)]
    return [re.sub(r"\s{2,}.*$", " ...", line) if "STEP" in line else line for line in lines]


if __name__ == "__main__":
    main()
