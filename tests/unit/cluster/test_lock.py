"""One training a work directory: the living are left alone, the dead do not block."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rankdet import outputs
from rankdet.cluster import lock
from rankdet.cluster.lock import locked
from rankdet.errors import InputError

QUICK = {"heartbeat": 0.05, "timeout": 0.4}


def written(path, **changes):
    """Write a lock as of this very process, with ``changes``."""
    (path / lock.NAME).write_text(json.dumps(lock._self() | changes))


def until(comes):
    """Wait until ``comes()`` is true, at most some seconds."""
    end = time.monotonic() + 20
    while not comes():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def test_a_second_one_on_this_machine_is_told_who_holds_it(tmp_path):
    told = f"process {os.getpid()} on .*is still running"
    with locked(tmp_path), pytest.raises(InputError, match=told), locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_second_one_may_wait(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lock, "POLL_SECONDS", 0.05)
    order, begun, may_end = [], threading.Event(), threading.Event()

    def first():
        with locked(tmp_path):
            begun.set()
            may_end.wait(20)
            order.append("first")

    def end(seconds):
        own_sleep(seconds)
        may_end.set()  # the second one has looked, and found the first

    own_sleep = time.sleep
    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(20)
    monkeypatch.setattr(lock.time, "sleep", end)
    with locked(tmp_path, wait=True):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert f"waiting for process {os.getpid()} on" in capsys.readouterr().err


def test_a_dead_process_does_not_hold_it(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    written(tmp_path, pid=child.pid)
    with locked(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["pid"] == os.getpid()


def test_another_process_with_the_same_number_does_not_hold_it(tmp_path):
    written(tmp_path, started="1")
    with locked(tmp_path):
        pass


@pytest.fixture
def at_once(monkeypatch):
    """Let a wait for a sign of life fail the test."""

    def slept(seconds):
        raise AssertionError("waited for a sign of life")

    monkeypatch.setattr(lock.time, "sleep", slept)


def test_the_job_itself_on_another_node_goes_on(tmp_path, monkeypatch, at_once):
    """Slurm has put it there again: whatever the queue says, the old one is dead, at once."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(lock, "is_queued", lambda job: True)
    written(tmp_path, host="lost", job="7")
    with locked(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["host"] != "lost"


def test_two_without_a_job_are_not_the_same_job(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(lock, "is_queued", lambda job: pytest.fail("there is no job to ask for"))
    written(tmp_path, host="elsewhere", job=None)
    begin = time.monotonic()
    with locked(tmp_path, **QUICK):
        pass
    assert time.monotonic() - begin > QUICK["timeout"]


def stat_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_a_process_that_only_waits_for_its_parent_is_dead(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        until(lambda: stat_of(child.pid)[0] == "Z")
        written(tmp_path, pid=child.pid, started=stat_of(child.pid)[19])
        with locked(tmp_path):
            pass
    finally:
        child.wait()


def test_one_lost_sign_of_life_is_no_death():
    """The timeout before a takeover is several heartbeats, both defaults of `locked`."""
    assert lock.TIMEOUT >= 3 * lock.HEARTBEAT
    assert lock.HEARTBEAT <= 30  # a person who restarts a run waits for the timeout
    assert locked.__wrapped__.__defaults__ == (lock.HEARTBEAT, lock.TIMEOUT)


def test_a_holder_elsewhere_may_beat_late(tmp_path, monkeypatch):
    """A heartbeat near the end of the timeout counts."""
    monkeypatch.setattr(lock, "is_queued", lambda job: True)
    written(tmp_path, host="elsewhere", job="8")
    late = threading.Timer(0.7, written, (tmp_path,), dict(host="elsewhere", job="8", beats=1))
    late.start()
    with (
        pytest.raises(InputError, match="Slurm job 8"),
        locked(tmp_path, heartbeat=0.25, timeout=1.0),
    ):
        pass
    late.join()


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"pid": 1}, {"started": "1"}])
def test_a_lock_that_another_has_taken_over_stays(tmp_path, other):
    """A node that was cut off comes back and ends: the lock is no longer its own."""
    with locked(tmp_path):
        written(tmp_path, **other)
    kept = json.loads((tmp_path / lock.NAME).read_text())
    assert {key: kept[key] for key in other} == other


def test_signs_of_life_end_once_another_has_taken_over(tmp_path):
    """They do not write over its lock: it would lose the work directory to one that was cut off."""
    written(tmp_path, host="elsewhere")
    before = (tmp_path / lock.NAME).read_bytes()
    stopped = threading.Event()
    own = lock._self() | {"host": "here"}
    beats = threading.Thread(target=lock._beat, args=(tmp_path / lock.NAME, own, 0.001, stopped))
    beats.start()
    beats.join(5)
    ended = not beats.is_alive()
    stopped.set()
    beats.join()
    assert ended and (tmp_path / lock.NAME).read_bytes() == before


def test_the_own_lock_is_removed_after_many_beats(tmp_path):
    with locked(tmp_path, heartbeat=0.01):
        until(lambda: json.loads((tmp_path / lock.NAME).read_text())["beats"] >= 3)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch):
    with locked(tmp_path, heartbeat=0.01):
        tries = []

        def full(path, content):
            tries.append(path)
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(lock, "write_json", full)
        until(lambda: len(tries) >= 3)


@pytest.mark.parametrize("queued", [False, None])
def test_a_job_that_slurm_no_longer_has_is_dead(tmp_path, monkeypatch, queued):
    monkeypatch.setattr(lock, "is_queued", lambda job: queued)
    written(tmp_path, host="elsewhere", job="8")
    begin = time.monotonic()
    with locked(tmp_path, **QUICK):
        pass
    # Where nobody can be asked, a while without a sign of life is waited for.
    assert (time.monotonic() - begin > QUICK["timeout"]) == (queued is None)


def test_one_elsewhere_that_gives_signs_of_life_holds_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "is_queued", lambda job: True)
    code = (
        "import sys, time, socket; socket.gethostname = lambda: 'elsewhere'\n"
        "from rankdet.cluster.lock import locked\n"
        "with locked(sys.argv[1], heartbeat=0.05): print('held', flush=True); time.sleep(60)"
    )
    environment = dict(os.environ, SLURM_JOB_ID="9")
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, env=environment
    )
    try:
        assert child.stdout.readline() == b"held\n"
        told = r"on elsewhere, Slurm job 9, .*scancel 9"
        with pytest.raises(InputError, match=told), locked(tmp_path, **QUICK):
            pass
    finally:
        child.kill()
        child.wait()
    with locked(tmp_path, **QUICK):
        pass


def test_a_torn_lock_is_no_lock(tmp_path):
    (tmp_path / lock.NAME).write_text('{"host": "x", "pi')
    with locked(tmp_path):
        pass


RACE = """
import sys, time
from rankdet.cluster.lock import locked
from rankdet.errors import InputError
print("ready", flush=True)
sys.stdin.readline()
try:
    with locked(sys.argv[1]):
        time.sleep(0.3)
        print("won", flush=True)
except InputError as error:
    print("lost" if "is still running" in str(error) else error, flush=True)
"""


@pytest.fixture(scope="module")
def racers():
    """Give outcomes of processes that take a work directory at the same moment."""

    def race(folder, count=3):
        command = [sys.executable, "-c", RACE, str(folder)]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes = [subprocess.Popen(command, **pipes) for _ in range(count)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        return sorted(process.communicate(timeout=60)[0].strip() for process in processes)

    return race


@pytest.mark.parametrize("state", ["new", "dead", "torn"])
def test_one_of_several_at_once_wins(tmp_path, racers, state):
    for turn in range(4):
        folder = tmp_path / str(turn)
        folder.mkdir()
        if state == "dead":
            written(folder, started="1")
        elif state == "torn":
            (folder / lock.NAME).write_text("{")
        assert racers(folder) == ["lost", "lost", "won"]
        assert not list(folder.iterdir())


@pytest.mark.parametrize("state", ["new", "dead"])
def test_without_locks_of_the_kernel_one_wins_too(tmp_path, monkeypatch, state):
    """As between two nodes whose file system has no common locks."""

    def none(*arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(outputs.fcntl, "flock", none)
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        if state == "dead":
            written(folder, started="1")
        start, ends, outcomes = threading.Barrier(4), threading.Barrier(4), []

        def take(folder=folder, start=start, ends=ends, outcomes=outcomes):
            start.wait()
            try:
                with locked(folder):
                    outcomes.append("won")
                    ends.wait()
            except InputError:
                outcomes.append("lost")
                ends.wait()

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["lost", "lost", "lost", "won"]


def test_a_killed_holder_is_followed_at_once(tmp_path):
    command = [sys.executable, "-c", RACE.replace("0.3", "60"), str(tmp_path)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(b"\n")
    child.stdin.flush()
    until((tmp_path / lock.NAME).exists)
    with pytest.raises(InputError, match=f"process {child.pid}"), locked(tmp_path):
        pass
    child.kill()
    child.wait()
    with locked(tmp_path):
        pass
