"""The time of a run is that of all its sessions; a validation that a stop came before is made."""

import json
import os
import signal

import pytest

from rankdet.catalogue.presets import Preset
from rankdet.datasets.digits import prepare_digits
from rankdet.training import records as module
from rankdet.training.interruption import Interrupted
from rankdet.training.record import read_record, validated
from rankdet.training.records import Sessions
from rankdet.training.run import Settings, train
from tests.reliability.runs import after_each_step, record_of

PRESET = Preset("demo", "for this test", "digits", 8, 2, 64, True, 1e-3, 1e-3, validations=2)
ENTRY = "control_atss_r50"


def test_seconds_of_all_sessions(monkeypatch):
    now = iter([100.0, 103.0, 200.0, 204.5, 206.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    first = Sessions([], 0, {"processes": 2})
    first.reach(10)
    saved = first.as_plain()
    assert saved[0]["ended"] is None and first.seconds == 3.0
    second = Sessions(saved, 10, {"processes": 1})
    second.reach(20)
    second.reach(24, "finished")
    assert second.seconds == 9.0
    found = second.as_plain()
    assert [(each["from"], each["to"], each["seconds"]) for each in found] == [
        (0, 10, 3.0),
        (10, 24, 6.0),
    ]
    assert [each["ended"] for each in found] == ["without notice", "finished"]
    assert [each["processes"] for each in found] == [2, 1]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 8, 2)


def test_a_stop_where_a_validation_is_due(digits, tmp_path):
    """The checkpoint is written before it; the resumed run makes it first, and only once."""

    def stop(runner):
        if runner.iter + 1 == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(ENTRY, PRESET, digits, whole / "work", whole / "c.pth", Settings(threads=1))
    with after_each_step(stop), pytest.raises(Interrupted, match="iteration 4 of 8"):
        train(ENTRY, PRESET, digits, cut / "work", cut / "c.pth", Settings(threads=1))
    assert validated(cut / "work" / "training.jsonl") == set()
    run = train(
        ENTRY, PRESET, digits, cut / "work", cut / "c.pth", Settings(threads=1, resume=True)
    )
    rows = read_record(cut / "training.jsonl")
    assert [row["iteration"] for row in rows if "lr" not in row] == [4, 8]
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    assert record_of(cut) == record_of(whole)
    times = sum(row.get("time", 0) for row in rows)
    assert run["seconds"] >= times
    assert run["seconds"] == pytest.approx(sum(s["seconds"] for s in run["sessions"]), abs=0.1)
    assert [s["ended"] for s in run["sessions"]] == ["SIGTERM", "finished"]
    assert all(s["machine"]["cores"] for s in run["sessions"])


def test_a_record_that_was_lost_is_said(digits, tmp_path, capfd):
    def stop(runner):
        if runner.iter + 1 == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    work, out = tmp_path / "work", tmp_path / "c.pth"
    with after_each_step(stop), pytest.raises(Interrupted):
        train(ENTRY, PRESET, digits, work, out, Settings(threads=1))
    lines = (work / "training.jsonl").read_text().splitlines()
    (work / "training.jsonl").write_text(lines[0] + "\n" + lines[1][:20] + "\n[]\n\xff")
    train(ENTRY, PRESET, digits, work, out, Settings(threads=1, resume=True))
    assert "training.jsonl lacks 2 of 3 iterations" in capfd.readouterr().err
    found = [json.loads(line) for line in (tmp_path / "training.jsonl").open()]
    assert [row["iteration"] for row in found if "lr" in row] == [1, 4, 5, 6, 7, 8]
