"""The entrypoint without an image: what it finds wrong, and what it starts."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[2] / "docker" / "entrypoint.sh"
PAPER = ("train", "rs_atss_r50", "--preset", "paper")
SMOKE = ("train", "rs_atss_r50", "--preset", "smoke")


class Machine:
    """A container as the entrypoint sees it; each program it asks is a small script."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "bin"
        self.data, self.results = folder / "data", folder / "results"
        for path in (self.bin, self.data / "annotations", self.results):
            path.mkdir(parents=True)
        self.environment = {
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "RANKDET_DATA": str(self.data),
            "RANKDET_RESULTS": str(self.results),
            "HOME": str(self.folder),
        }
        self.shared_memory(8192)
        self.program("nvidia-smi", "echo 'NVIDIA H100, 580.1'")
        self.program("python", "exit 0")
        self.program("mountpoint", "exit 0")
        for name in ("rankdet", "snakemake"):
            self.program(name, f'echo "started {name} $*"')

    def program(self, name, body):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def shared_memory(self, mib):
        self.program("df", f"echo 1M-blocks; echo ' {mib}'")

    def run(self, *arguments, **environment):
        return subprocess.run(
            ["bash", str(ENTRYPOINT), *arguments],
            env={**self.environment, **environment},
            cwd=self.results,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "arguments", [PAPER, SMOKE, ("doctor",), ("list", "--table", "x"), ("train", "--help")]
)
def test_a_sound_container_starts_the_command(machine, arguments):
    done = machine.run(*arguments)
    assert (done.returncode, done.stdout) == (0, f"started rankdet {' '.join(arguments)}\n")


def test_the_name_of_the_command_may_be_repeated(machine):
    assert machine.run("rankdet", "doctor").stdout == "started rankdet doctor\n"


def spoil(machine, what):
    """Take one thing from a sound container."""
    if what == "gpu":
        machine.program("nvidia-smi", "exit 9")
    elif what == "driver":
        machine.program("python", "exit 1")
    elif what == "mount":
        machine.program("mountpoint", "exit 1")
    elif what == "shared memory":
        machine.shared_memory(64)
    elif what == "data":
        (machine.data / "annotations").rmdir()
    elif what == "data folder":
        (machine.data / "annotations").rmdir()
        machine.data.rmdir()


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("gpu", "--gpus all"),
        ("driver", "Update the host's driver"),
        ("mount", "would be lost with the container"),
        ("shared memory", "shared memory is 64 MiB"),
        ("data", "contains neither annotations/"),
        ("data folder", "-v DATA:"),
    ],
)
def test_what_is_missing_is_named_and_nothing_starts(machine, missing, says):
    spoil(machine, missing)
    done = machine.run(*PAPER)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert done.stderr.count("  - ") == 1 and done.stdout == ""


def test_all_that_is_wrong_is_said_at_once(machine):
    for what in ("gpu", "mount", "shared memory", "data"):
        spoil(machine, what)
    done = machine.run(*PAPER)
    assert done.returncode == 2 and done.stderr.count("  - ") == 4


def test_a_cpu_image_refuses_the_official_run(machine):
    done = machine.run(*PAPER, RANKDET_TORCH="cpu")
    assert done.returncode == 2 and "preset paper takes days to months" in done.stderr
    assert machine.run(*SMOKE, RANKDET_TORCH="cpu").returncode == 0


def test_the_checks_can_be_left_out(machine):
    spoil(machine, "gpu")
    spoil(machine, "mount")
    assert machine.run(*PAPER, RANKDET_SKIP_CHECKS="1").returncode == 0


def test_small_presets_need_neither_gpu_nor_data_nor_shared_memory(machine):
    for what in ("gpu", "data", "shared memory"):
        spoil(machine, what)
    assert machine.run(*SMOKE).returncode == 0
    spoil(machine, "mount")
    assert machine.run(*SMOKE).returncode == 2


@pytest.mark.parametrize("form", [("--data", "x.json"), ("--data=x.json",)])
def test_given_options_need_no_mount(machine, form):
    spoil(machine, "data")
    spoil(machine, "mount")
    given = (*form, "--out", "o.pth", "--work-dir", "w")
    assert machine.run(*PAPER, *given).returncode == 0


def test_torch_compile_needs_a_compiler(machine):
    done = machine.run(*SMOKE, "--compile", CC="no-such-compiler")
    assert done.returncode == 2 and "--compile needs a C compiler" in done.stderr
    machine.program("my-cc", "exit 0")
    assert machine.run(*SMOKE, "--compile", CC="my-cc").returncode == 0


def test_no_workers_need_no_shared_memory(machine):
    spoil(machine, "shared memory")
    assert machine.run(*PAPER, "--workers", "0").returncode == 0


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is not installed (util-linux)")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_results_of_another_user_are_explained():
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        shutil.copy(ENTRYPOINT, folder)
        for path in (machine.folder, machine.results):
            path.chmod(0o755)
        command = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", "bash"]
        done = subprocess.run(
            [*command, f"{folder}/entrypoint.sh", *SMOKE],
            env=machine.environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2 and "it belongs to 0:0" in done.stderr, done.stderr
    assert "runs as 1000:1000" in " ".join(done.stderr.split()) and "--user" in done.stderr


def test_weights_lie_with_the_results_or_come_along_with_the_data(machine):
    machine.program("rankdet", 'echo "$RANKDET_BACKBONES"')
    own, brought = machine.results / "backbones", machine.data / "backbones"
    assert machine.run("list").stdout == f"{own}\n"
    brought.mkdir()
    assert machine.run("list").stdout == f"{brought}\n"
    own.mkdir()
    assert machine.run("list").stdout == f"{own}\n"
    assert machine.run("list", RANKDET_BACKBONES="/mine").stdout == "/mine\n"


def test_matplotlib_gets_a_private_folder_where_home_is_not_the_users(machine, tmp_path):
    private = tmp_path / "temporary"
    private.mkdir()
    settings = {"HOME": "/no/home", "TMPDIR": str(private)}
    for name in ("rankdet", "python"):
        machine.program(name, 'echo "${MPLCONFIGDIR:-unset}"')
    found = {machine.run(name, **settings).stdout.strip() for name in ("list", "list", "python")}
    assert len(found) == 3
    for folder in map(Path, found):
        assert folder.parent == private and folder.stat().st_mode & 0o777 == 0o700
    assert machine.run("list").stdout == "unset\n"  # the caller's own home
    assert machine.run("list", MPLCONFIGDIR="/mine").stdout == "/mine\n"
    assert "MPLCONFIGDIR=/" not in (ENTRYPOINT.parents[1] / "Dockerfile").read_text()


def test_the_workflow_keeps_its_own_paths(machine):
    machine.program("snakemake", 'echo "backbones ${RANKDET_BACKBONES:-unset}"')
    (machine.results / "Snakefile").touch()
    assert machine.run("snakemake").stdout == "backbones unset\n"
    # The rules name no folder of weights: none may be set for a rule run by `apptainer exec`.
    assert "RANKDET_BACKBONES" not in (ENTRYPOINT.parents[1] / "Dockerfile").read_text()


def test_snakemake_gets_a_copy_of_the_workflow_in_an_empty_folder(machine):
    root = ENTRYPOINT.parents[1]
    done = machine.run("snakemake", "-n", RANKDET_WORKFLOW=str(root))
    assert done.returncode == 0 and done.stdout == "started snakemake -n\n", done.stderr
    for name in ("Snakefile", "workflow/rules/train.smk", "configs/pipeline.yaml"):
        assert (machine.results / name).is_file()
    (machine.results / "Snakefile").write_text("# mine\n")
    assert machine.run("snakemake", RANKDET_WORKFLOW=str(root)).returncode == 0
    assert (machine.results / "Snakefile").read_text() == "# mine\n"


def test_other_programs_start_as_they_are(machine):
    machine.program("python", 'echo "python $*"')
    assert machine.run("python", "-V").stdout == "python -V\n"
    assert machine.run("sh", "-c", "echo hello").stdout == "hello\n"
