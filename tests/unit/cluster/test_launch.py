"""The command of the launcher: one on this node, or one a node that srun starts."""

import json

import pytest

from rankdet.cluster import launch
from rankdet.errors import InputError


def test_one_node_has_one_launcher_of_its_own():
    command = launch.launcher(4)
    assert "--nproc-per-node=4" in command and "--standalone" in command
    assert "srun" not in command and command[-1].endswith("rankdet")


def test_several_nodes_have_one_launcher_each(monkeypatch, tmp_path):
    (tmp_path / "srun").write_text("")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    command = launch.launcher(8, nodes=2, threads=16)
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
        launch.launcher(2, nodes=2)


def test_the_processes_get_the_commands_own_arguments(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv(launch.ARGUMENTS, json.dumps(["train", "--log", "x"]))
    assert launch.own_arguments() is None
    monkeypatch.setenv("RANK", "1")
    assert launch.own_arguments() == ["train", "--log", "x"]
