"""One launcher per training: torchrun on one node, or srun starting one torchrun per node."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rankdet.errors import InputError

# In an environment variable, because torchrun would read some options as its own abbreviations.
ARGUMENTS = "RANKDET_ARGUMENTS"


def is_launched() -> bool:
    """Return whether our launcher started this process."""
    # RANK alone is not enough: Slurm plug-ins, Kubeflow and others set it for single processes.
    return ARGUMENTS in os.environ and "RANK" in os.environ


def rank() -> int:
    """Return the rank of this process among the training processes."""
    return int(os.environ["RANK"]) if is_launched() else 0


def own_arguments() -> list[str] | None:
    """Return the command line passed by the launcher; None in any other process."""
    return json.loads(os.environ[ARGUMENTS]) if is_launched() else None


def launch(arguments: Sequence[str], processes: int, nodes: int = 1, threads: int = 1) -> int:
    """Run ``rankdet`` with ``arguments`` in ``processes`` processes; return the exit code."""
    environment = os.environ | {ARGUMENTS: json.dumps(list(arguments))}
    command = launcher(processes, nodes, threads)
    # In its own session: torchrun would kill its processes on Ctrl-C.
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    received: list[int] = []

    def forward(number: int, frame: object) -> None:
        if received and number == signal.SIGINT:
            os.killpg(child.pid, signal.SIGKILL)
        received.append(number)
        for process in _children(child.pid) or [child.pid]:
            with suppress(ProcessLookupError):
                os.kill(process, number)

    before = {
        number: signal.signal(number, forward)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + received[0] if received and code else code


def _children(pid: int) -> list[int]:
    """Return the processes that the launcher ``pid`` started on this machine."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


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
