"""A real Slurm on this machine, and Snakemake's runs through it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")
# As the one-machine cluster needs them: it has no accounting, and nobody wants to wait here.
OPTIONS = ["--slurm-no-account", "--slurm-status-command", "squeue"]
OPTIONS += ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "20"]
# Slurm puts the job of a lost node back into the queue only after two minutes; Snakemake's own
# retry does not wait.
OPTIONS += ["--slurm-no-requeue"]
SITE = ["--configfile", "site.yaml"]
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two virtual nodes with a pretended GPU each."""
    if os.geteuid() != 0:
        pytest.skip("starting a Slurm needs root")
    missing = [name for name in PROGRAMS if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
    if missing:
        pytest.skip(
            f"Slurm is not installed ({', '.join(missing)}); on Debian: "
            "apt-get install munge slurmctld slurmd slurm-client"
        )
    folder = tmp_path_factory.mktemp("cluster")
    command = [HERE / "cluster" / "start.sh", folder, "2", "1"]
    # Its daemons keep the pipe of a captured output open.
    with (folder / "start.log").open("w") as log:
        run = subprocess.run(command, stdout=log, stderr=log)
    if run.returncode == 3:
        pytest.skip((folder / "start.log").read_text().strip())
    assert run.returncode == 0, (folder / "start.log").read_text()
    yield folder
    subprocess.run([HERE / "cluster" / "stop.sh", folder], check=True)


def start(project, *targets, options=(), **settings):
    """Start `snakemake --profile slurm` with ``settings`` of configs/cluster.yaml."""
    site = dict(partition="cpu", gpu_partition="gpu", gpu_model="h100", walltime=60) | settings
    path = project.folder / "site.yaml"
    path.write_text(yaml.safe_dump({"cluster": site}))
    environment = dict(os.environ)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (project.folder / "snakemake.log").open("a") as log:
        return subprocess.Popen(
            [SNAKEMAKE, "--profile", "slurm", *OPTIONS, *SITE, *options, "--", *targets],
            cwd=project.folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def end_processes(project):
    """End what still runs of the project's jobs: with a real lost node they would be gone."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            here = (process / "cwd").resolve() == project.folder.resolve()
            if here and b"SLURM_JOB_ID=" in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


def log_of(project):
    return (project.folder / "snakemake.log").read_text()


def jobs(project, *options):
    """Return rows {id, state, node, comment, reason} of the project's jobs in the queue."""
    command = ["squeue", "--noheader", "--states=all", "--format=%i|%T|%N|%k|%Z|%r", *options]
    lines = subprocess.run(command, text=True, capture_output=True, check=True).stdout.splitlines()
    names = ("id", "state", "node", "comment", "folder", "reason")
    rows = [dict(zip(names, line.split("|"), strict=True)) for line in lines]
    return [row for row in rows if row["folder"] == str(project.folder.resolve())]


def wait_for(condition, process=None, seconds=240):
    """Return the first true value of ``condition``; fail where the process ends before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        assert process is None or process.poll() is None, "Snakemake ended before"
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s")


def running(project, comment):
    """Return the running job whose comment ends with ``comment``; None without one."""
    rows = [job for job in jobs(project) if job["comment"].endswith(comment)]
    return next((job for job in rows if job["state"] == "RUNNING"), None)
