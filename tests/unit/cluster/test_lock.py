"""One training a work directory: the living are left alone, the dead do not block."""

import json
import os
import subprocess
import sys
import time

import pytest

from rankdet.cluster import lock
from rankdet.cluster.lock import held
from rankdet.errors import InputError

QUICK = {"beat": 0.05, "silence": 0.4}


def written(path, **changes):
    """Write a lock as of this very process, with ``changes``."""
    (path / lock.NAME).write_text(json.dumps(lock._self() | changes))


def test_a_second_one_on_this_machine_is_told_who_holds_it(tmp_path):
    told = f"process {os.getpid()} on .*still runs"
    with held(tmp_path), pytest.raises(InputError, match=told), held(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_dead_process_does_not_hold_it(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    written(tmp_path, pid=child.pid)
    with held(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_another_process_with_the_same_number_does_not_hold_it(tmp_path):
    written(tmp_path, started="1")
    with held(tmp_path):
        pass


def test_the_job_itself_on_another_node_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    written(tmp_path, host="lost", job="7")
    with held(tmp_path):
        pass


@pytest.mark.parametrize("queued", [False, None])
def test_a_job_that_slurm_no_longer_has_is_dead(tmp_path, monkeypatch, queued):
    monkeypatch.setattr(lock, "is_queued", lambda job: queued)
    written(tmp_path, host="elsewhere", job="8")
    begin = time.monotonic()
    with held(tmp_path, **QUICK):
        pass
    # Where nobody can be asked, a while without a sign of life is waited for.
    assert (time.monotonic() - begin > QUICK["silence"]) == (queued is None)


def test_one_elsewhere_that_gives_signs_of_life_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "is_queued", lambda job: True)
    code = (
        "import sys, time, socket; socket.gethostname = lambda: 'elsewhere'\n"
        "from rankdet.cluster.lock import held\n"
        "with held(sys.argv[1], beat=0.05): print('held', flush=True); time.sleep(60)"
    )
    environment = dict(os.environ, SLURM_JOB_ID="9")
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    )
    try:
        assert child.stdout.readline() == b"held\n"
        told = r"on elsewhere, Slurm job 9, .*scancel 9"
        with pytest.raises(InputError, match=told), held(tmp_path, **QUICK):
            pass
    finally:
        child.kill()
        child.wait()
    with held(tmp_path, **QUICK):
        pass


def test_a_torn_lock_is_no_lock(tmp_path):
    (tmp_path / lock.NAME).write_text('{"host": "x", "pi')
    with held(tmp_path):
        pass
