"""Killed at any moment, at every change of a file: the next start continues, to the same bits."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from rankdet.datasets.digits import prepare_digits
from tests.reliability.children import count_changes, kill_at_change, run, start, wait
from tests.reliability.runs import leaves, record_of

ENTRY, ITERATIONS, INTERVAL = "control_atss_r50", 12, 3  # preset demo is measured four times


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return an undisturbed run: (folder, changes of files, seconds)."""
    folder = tmp_path_factory.mktemp("whole")
    prepare_digits(folder / "digits", 0, 8, 2)
    before = count_changes(folder / "run", folder / "count")
    begin = time.monotonic()
    assert run(command(folder, folder / "run"), folder / "log", before) == 0
    return folder, int((folder / "count").read_text()), time.monotonic() - begin


def command(whole: Path, folder: Path) -> list:
    arguments = ["train", ENTRY, "--preset", "demo", "--iterations", ITERATIONS, "--resume"]
    arguments += ["--data", whole / "digits", "--work-dir", folder / "work", "--threads", 1]
    return [*arguments, "--out", folder / "out" / "checkpoint.pth"]


def result_of(folder):
    """Return what a run leaves, without times."""
    return record_of(folder / "out"), dict(
        leaves(torch.load(folder / "out" / "checkpoint.pth"), "")
    )


def check(whole, folder, kill):
    """Kill a run, start it again, compare; return the iterations that were made twice."""
    folder.mkdir()
    code = kill(folder)
    assert code in (0, -signal.SIGKILL)
    made = 0
    if (folder / "work" / "training.jsonl").exists():
        rows = (folder / "work" / "training.jsonl").read_text().splitlines()
        made = max((json.loads(row)["iteration"] for row in rows if row.endswith("}")), default=0)
    assert run(command(whole, folder), folder / "log") == 0, (folder / "log").read_text()[-2000:]
    record, weights = result_of(folder)
    expected, wanted = result_of(whole / "run")
    assert record == expected
    assert weights.keys() == wanted.keys()
    for name, value in weights.items():
        same = torch.equal(value, wanted[name]) if torch.is_tensor(value) else value == wanted[name]
        assert same, name
    remains = [path.name for path in folder.rglob("*") if path.suffix == ".pth"]
    assert sorted(remains) == ["checkpoint.pth", "finished.pth"]
    sessions = json.loads((folder / "out" / "run.json").read_text())["sessions"]
    assert sessions[-1]["to"] == ITERATIONS and sessions[-1]["ended"] == "finished"
    is_done = "published again" in (folder / "log").read_text()
    again = 0 if is_done else made - sessions[-1]["from"]
    shutil.rmtree(folder)
    return again


def at_change(whole, number):
    def kill(folder):
        return run(command(whole, folder), folder / "log", kill_at_change(folder, number))

    return kill


def after_seconds(whole, seconds):
    def kill(folder):
        child = start(command(whole, folder), folder / "log")
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        return wait(child)

    return kill


def kills(whole, changes, times, draw):
    folder, count, seconds = whole
    numbers = [round(1 + k * (count - 1) / max(1, changes - 1)) for k in range(changes)]
    yield from (at_change(folder, number) for number in dict.fromkeys(numbers))
    yield from (after_seconds(folder, draw.uniform(0.1, seconds)) for _ in range(times))


def test_killed_at_four_changes_and_once_at_random(whole, tmp_path):
    again = [
        check(whole[0], tmp_path / str(index), kill)
        for index, kill in enumerate(kills(whole, 4, 1, random.Random(0)))
    ]
    assert max(again) <= INTERVAL


@pytest.mark.heavy  # 12 minutes on two cores
def test_killed_at_every_change_and_at_random_times(whole, tmp_path):
    folder, count, _ = whole
    times = max(20, 100 - count)
    again = [
        check(folder, tmp_path / str(index), kill)
        for index, kill in enumerate(kills(whole, count, times, random.Random(1)))
    ]
    assert len(again) >= 100 and max(again) <= INTERVAL
