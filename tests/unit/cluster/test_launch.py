"""The command of the launcher: one on this node, or one a node that srun starts."""

import json
import signal
import subprocess
import sys

import pytest

from rankdet.cluster import slurm
from rankdet.errors import InputError


def test_one_node_has_one_launcher_of_its_own():
    command = slurm.launcher(4)
    assert "--nproc-per-node=4" in command and "--standalone" in command
    assert "srun" not in command and command[-1].endswith("rankdet")


def test_several_nodes_have_one_launcher_each(monkeypatch, tmp_path):
    (tmp_path / "srun").write_text("")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    command = slurm.launcher(8, nodes=2, threads=16)
    assert command[0] == "srun"
    for option in ("--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--cpus-per-task=16"):
        assert option in command
    for option in ("--nnodes=2", "--nproc-per-node=4", "--rdzv-id=20007"):
        assert option in command
    endpoint = next(option for option in command if option.startswith("--rdzv-endpoint="))
    assert endpoint.endswith(":20007")


def test_several_nodes_need_a_job(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match=r"a Slurm job of 2 nodes.*--nodes 1"):
        slurm.launcher(2, nodes=2)


def test_the_processes_get_the_commands_own_arguments(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv(slurm.ARGUMENTS, json.dumps(["train", "--log", "x"]))
    assert slurm.own_arguments() is None
    monkeypatch.setenv("RANK", "1")
    assert slurm.own_arguments() == ["train", "--log", "x"]


@pytest.mark.parametrize(
    "others",
    [
        {"RANK": "0"},
        {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "other"},
        {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "RANK": "1"},
        {"RANK": "x"},
        {"RANK": ""},
    ],
    ids=str,
)
def test_what_others_set_is_no_launch(monkeypatch, others):
    monkeypatch.delenv(slurm.ARGUMENTS, raising=False)
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    assert not slurm.is_launched() and slurm.rank() == 0 and slurm.own_arguments() is None


LAUNCHER = """
import os, subprocess, sys
code = "import signal, time\\nsignal.signal(signal.{0}, lambda *a: exit(75))\\n"
code += "print('ready', flush=True)\\ntime.sleep(60)"
sys.exit(subprocess.run([sys.executable, "-c", code]).returncode)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_processes_and_not_the_launcher(number):
    """The launcher would kill them, and with them the checkpoint that they write."""
    code = (
        "import sys\nfrom rankdet.cluster import slurm\n"
        f"slurm.launcher = lambda *a: [sys.executable, '-c', {LAUNCHER.format(number.name)!r}]\n"
        "sys.exit(slurm.launch([], 2))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert process.wait(30) == 128 + number
