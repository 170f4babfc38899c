"""Snakemakes in one folder: a dead one's locks go, a living one's stay."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from snakemake.scheduling.job_scheduler import JobRateLimiter
from snakemake.settings.types import MaxJobsPerTimespan

from rankdet.cluster import lock
from rankdet.workflow import snakemakes
from rankdet.workflow.snakemakes import LOCKS, RECORDS, begin

# Another Snakemake: it notes itself, locks its files and waits.
OTHER = """
import os, sys, time
from pathlib import Path
from rankdet.workflow import snakemakes
snakemakes.begin(".")
Path(".snakemake/locks").mkdir(parents=True, exist_ok=True)
Path(".snakemake/locks/0.output.lock").write_text("a file")
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER],
        cwd=tmp_path,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == "begun\n"
    yield process
    process.kill()
    process.communicate()


def locks(folder):
    return [path.name for path in (folder / LOCKS).glob("*")]


def notes(folder):
    return [path for path in (folder / RECORDS).iterdir() if path.is_dir()]


def written(folder, name="other", **changes):
    """Note a Snakemake as of this very process, with ``changes``; and locks."""
    record = folder / RECORDS / name
    record.mkdir(parents=True)
    (record / lock.NAME).write_text(json.dumps(lock._self() | changes))
    (folder / LOCKS).mkdir(exist_ok=True)
    (folder / LOCKS / "0.input.lock").write_text("a file")
    return record


def test_a_killed_one_is_forgotten_with_its_locks(tmp_path, other, capfd):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert locks(tmp_path) and len(notes(tmp_path)) == 1
    with begin(tmp_path):
        assert locks(tmp_path) == [] and len(notes(tmp_path)) == 1
    assert "removed the locks" in capfd.readouterr().err
    assert notes(tmp_path) == []


def test_a_living_one_keeps_its_locks_and_is_named(tmp_path, other, capfd):
    with begin(tmp_path):
        assert locks(tmp_path) == ["0.output.lock"] and len(notes(tmp_path)) == 2
    assert f"process {other.pid} on " in capfd.readouterr().err
    assert locks(tmp_path) == ["0.output.lock"] and len(notes(tmp_path)) == 1


def test_the_locks_stay_while_another_than_the_dead_one_lives(tmp_path, other):
    written(tmp_path, started="1")
    with begin(tmp_path):
        assert len(locks(tmp_path)) == 2
    other.communicate()
    with begin(tmp_path):
        assert locks(tmp_path) == []


def test_locks_without_a_note_are_not_ours_to_remove(tmp_path):
    (tmp_path / LOCKS).mkdir(parents=True)
    (tmp_path / LOCKS / "0.input.lock").write_text("a file")
    with begin(tmp_path):
        assert locks(tmp_path) == ["0.input.lock"]


def test_one_that_ends_leaves_no_note(tmp_path, other):
    other.communicate()
    assert other.returncode == 0 and notes(tmp_path) == []


def test_a_silent_one_on_another_machine_is_dead(tmp_path, capfd):
    written(tmp_path, host="elsewhere")
    begun = time.monotonic()
    with begin(tmp_path, timeout=0.4):
        assert time.monotonic() - begun >= 0.4
        assert locks(tmp_path) == []
    assert "whether a Snakemake on elsewhere is still running" in capfd.readouterr().err


def test_one_that_beats_on_another_machine_lives(tmp_path, monkeypatch):
    record = written(tmp_path, host="elsewhere")
    sleep = time.sleep

    def beaten(seconds):
        content = json.loads((record / lock.NAME).read_text())
        (record / lock.NAME).write_text(json.dumps(content | {"beats": content["beats"] + 1}))
        sleep(0)

    monkeypatch.setattr(lock.time, "sleep", beaten)
    with begin(tmp_path, timeout=5):
        assert locks(tmp_path) == ["0.input.lock"]


def test_a_note_without_a_name_is_dead_only_when_it_is_old(tmp_path):
    record = written(tmp_path)
    (record / lock.NAME).unlink()
    with begin(tmp_path, timeout=60):
        assert locks(tmp_path) == ["0.input.lock"] and record.exists()
    os.utime(record, (0, 0))
    with begin(tmp_path, timeout=60):
        assert locks(tmp_path) == [] and not record.exists()


def test_of_many_that_begin_at_once_after_a_kill_all_live(tmp_path):
    """One of them removes the dead one's locks; none removes those of another."""
    written(tmp_path, started="1")
    script = OTHER.replace('".snakemake/locks/0.output.lock"', 'f".snakemake/locks/{os.getpid()}"')
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    try:
        assert [process.stdout.readline() for process in started] == ["begun\n"] * 4
        assert sorted(locks(tmp_path)) == sorted(str(process.pid) for process in started)
    finally:
        for process in started:
            process.kill()
            process.communicate()


def test_a_folder_that_may_not_be_written_is_left_to_snakemake(tmp_path, monkeypatch):
    def refused(folder):
        raise PermissionError(13, "no")

    monkeypatch.setattr(snakemakes, "_one_at_a_time", refused)
    begin(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rate", "stays"), [("100/1s", False), ("100/1m", True), ("5/1s", True)])
def test_only_the_default_rate_of_starts_is_turned_off(rate, stays):
    limiter = JobRateLimiter(MaxJobsPerTimespan.parse_choice(rate))
    workflow = SimpleNamespace(scheduler=SimpleNamespace(job_rate_limiter=limiter))
    snakemakes.remove_default_rate(workflow)
    assert workflow.scheduler.job_rate_limiter is (limiter if stays else None)
    snakemakes.remove_default_rate(workflow)  # again, without a rate
    assert workflow.scheduler.job_rate_limiter is (limiter if stays else None)
