"""One launcher per training: torchrun on one node, or one torchrun a node that srun starts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence

from rankdet.errors import InputError

# torchrun takes some of a command's own options for abbreviations of its own, hence the detour.
ARGUMENTS = "RANKDET_ARGUMENTS"


def is_launched() -> bool:
    """Return whether this process is one of those that a launcher started."""
    return "RANK" in os.environ


def own_arguments() -> list[str] | None:
    """Return what the launcher passes to its processes; None in any other process."""
    return json.loads(os.environ[ARGUMENTS]) if is_launched() and ARGUMENTS in os.environ else None


def launch(arguments: Sequence[str], processes: int, nodes: int = 1, threads: int = 1) -> int:
    """Run ``rankdet`` with ``arguments`` in ``processes`` processes; return the exit code."""
    environment = os.environ | {ARGUMENTS: json.dumps(list(arguments))}
    command = launcher(processes, nodes, threads)
    return subprocess.run(command, env=environment, check=False).returncode


def launcher(processes: int, nodes: int = 1, threads: int = 1) -> list[str]:
    """Return the command of the launcher.

    Args:
        processes: over all nodes.
        nodes: of this process's Slurm job; 1 needs no Slurm.
        threads: processor threads on each node.

    Raises:
        InputError: if there is no Slurm job of several nodes to start processes in.
    """
    run = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes // nodes}"]
    if nodes == 1:
        return [*run, "--standalone", _script()]
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("srun") is None:
        raise InputError(
            f"a Slurm job of {nodes} nodes, with srun", "none", "train on one node: --nodes 1"
        )
    # This process runs on the first node of the job. Two jobs on one node need two ports.
    meeting = f"{socket.gethostname()}:{20000 + int(job) % 20000}"
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    srun += [f"--cpus-per-task={threads}", "--kill-on-bad-exit=1"]
    join = [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={meeting}"]
    return [*srun, *run, *join, f"--rdzv-id={job}", _script()]


def _script() -> str:
    """Return the path of the ``rankdet`` command."""
    found = shutil.which("rankdet", path=os.path.dirname(sys.executable)) or shutil.which("rankdet")
    if found is None:
        raise InputError("the rankdet command", "none on PATH", "install the package")
    return found
