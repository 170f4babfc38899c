"""``rankdet status`` on the files of runs in every state, also while they change."""

import json
import math
import os
import socket
import threading
import time

import pytest
from rich.console import Console
from typer.testing import CliRunner

from rankdet.cli import list as _list  # noqa: F401 - with one verb alone, it has no name
from rankdet.cli import status as _status  # noqa: F401 - registers the verb
from rankdet.cli.app import app
from rankdet.cluster import lock
from rankdet.errors import InputError
from rankdet.report import record_tail
from rankdet.report.record_tail import WINDOW, read_tail
from rankdet.report.status import RunStatus, read_status
from rankdet.report.status_table import status_table
from tests.unit.report.synthetic import write_result

ENTRY = "rs_atss_r50"
SETTINGS = {"settings": {"seed": 3, "config": {"train_cfg": {"max_iters": 400}}}}
EPOCHS = {"iterations": 1200, "epochs": 12, "iterations_per_epoch": 100}


def step(iteration, loss=1.5, seconds=0.5):
    return {"iteration": iteration, "loss_cls": 1.0, "loss": loss, "lr": 0.01, "time": seconds}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def work_dir(root, rows=(), entry=ENTRY, preset="demo", **files):
    """Write a training under way; ``files`` are the contents of <name>.json, None for no file."""
    folder = root / "work" / preset / entry
    folder.mkdir(parents=True)
    for name, content in ({"run_settings": SETTINGS} | files).items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "training.jsonl").write_text(lines(rows))
    return folder


def own_lock(**changes):
    return lock._self() | changes


def status_of(root, preset=None):
    return read_status(root / "results", root / "work", lock.recorded_owner, preset)


def only(root):
    [run] = status_of(root)
    return run


def shown(runs):
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(status_table(runs))
    return console.export_text()


def test_a_running_training_by_epochs(tmp_path):
    rows = [step(k) for k in range(1, 351)]
    rows.insert(300, {"iteration": 300, "AP": 0.25, "oLRP": 0.75})
    work_dir(tmp_path, rows, running=own_lock(job="77"), schedule=EPOCHS)
    run = only(tmp_path)
    assert (run.state, run.entry, run.seed, run.job) == ("training", ENTRY, 3, "77")
    assert (run.iteration, run.iterations, run.epoch, run.epochs) == (350, 1200, 3.5, 12)
    assert run.seconds_left == 850 * 0.5 and run.loss == 1.5
    assert (run.AP, run.oLRP, run.measured_at) == (0.25, 0.75, 300)
    assert run.seconds_since_sign < 100
    text = shown([run])
    assert "3.5/12 epochs" in text and "7 min 05 s" in text and "25.0" in text
    assert f"{socket.gethostname()}, job 77" in text


def test_the_pace_is_recent_and_without_validation(tmp_path):
    slow = [step(k, seconds=9.0) for k in range(1, 101)]
    fast = [step(k, seconds=0.1) for k in range(101, 101 + WINDOW)]
    work_dir(tmp_path, [*slow, {"iteration": 100, "AP": 0.1, "time": 99.0}, *fast])
    run = only(tmp_path)
    assert run.seconds_per_iteration == pytest.approx(0.1)
    assert run.seconds_left == pytest.approx(0.1 * (400 - 200))  # of run_settings.json


OTHER = {"host": "elsewhere", "job": None, "pid": 1}
STATES = {
    "training": {"running": "own"},
    "stopped": {"pointer": "stopped_20.pth"},
    "interrupted": {"running": "gone"},
    "failed": {"pointer": "iter_20.pth"},
    "trained": {"finished": True},
}


@pytest.mark.parametrize("state", STATES)
def test_states_of_a_work_directory(tmp_path, state):
    how = STATES[state]
    locks = {"own": own_lock(), "gone": own_lock(started="0"), None: None}
    finished = {"iterations": 400} if how.get("finished") else None
    folder = work_dir(tmp_path, [step(20)], running=locks[how.get("running")], finished=finished)
    if "pointer" in how:
        (folder / "last_checkpoint").write_text(how["pointer"])
    run = only(tmp_path)
    assert run.state == state and run.problem is None
    assert state in shown([run])


@pytest.mark.parametrize(("age", "state"), [(5, "training"), (500, "interrupted")])
def test_on_another_machine_the_heartbeat_counts(tmp_path, age, state):
    folder = work_dir(tmp_path, [step(20)], running=own_lock(**OTHER))
    moment = time.time() - age
    for path in folder.iterdir():
        os.utime(path, (moment, moment))
    run = only(tmp_path)
    assert run.state == state and run.host == "elsewhere"
    assert run.seconds_since_sign == pytest.approx(age, abs=3)


def test_a_finished_run_shows_its_evaluation(tmp_path):
    write_result(tmp_path / "results" / "demo", ENTRY, "demo", 0.4)
    run = only(tmp_path)
    assert (run.state, run.AP, run.oLRP, run.measured_at) == ("done", 0.4, 0.6, None)
    assert (run.iteration, run.iterations, run.seconds_left) == (100, 100, 0)
    assert run.loss == pytest.approx(math.exp(-100 / 40) + 0.3)


def test_masks_stand_for_a_detector_without_boxes(tmp_path):
    folder = write_result(tmp_path / "results" / "demo", ENTRY, "demo", 0.4, masks=True)
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["bbox"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert only(tmp_path).as_json()["AP"] == 0.36


def test_a_training_begun_again_hides_older_results(tmp_path):
    write_result(tmp_path / "results" / "demo", ENTRY, "demo", 0.4)
    work_dir(tmp_path, [step(7)], running=own_lock())
    run = only(tmp_path)
    assert (run.state, run.iteration, run.AP) == ("training", 7, None)


def test_every_preset_entry_and_seed_is_found(tmp_path):
    write_result(tmp_path / "results" / "demo", ENTRY, "demo", 0.4, several=True, seed=0)
    work_dir(tmp_path, [step(5)], entry=f"{ENTRY}/seed-10")
    work_dir(tmp_path, [step(5)], entry=f"{ENTRY}/seed-2")
    work_dir(tmp_path, [step(5)], entry="control_atss_r50", preset="paper")
    work_dir(tmp_path, [step(5)], entry="sample-1", preset="search")
    (tmp_path / "results" / "demo" / "tables").mkdir()
    (tmp_path / "results" / "demo" / "report.html").write_text("")
    found = [(run.preset, run.entry, run.seed, run.state) for run in status_of(tmp_path)]
    assert found == [
        ("paper", "control_atss_r50", 3, "failed"),
        ("demo", ENTRY, 0, "done"),
        ("demo", ENTRY, 2, "failed"),
        ("demo", ENTRY, 10, "failed"),
    ]
    assert len(status_of(tmp_path, "demo")) == 3


DAMAGED = {
    "run_settings.json": b"{",
    "schedule.json": b"[1, 2]",
    "training.jsonl": b"\xff\xfe\nnothing\n" * 9,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_the_state_of_its_row(tmp_path, name):
    folder = work_dir(tmp_path, [step(5)], running=own_lock())
    (folder / name).write_bytes(DAMAGED[name])
    work_dir(tmp_path, [step(5)], entry="zzz", running=own_lock())
    first, second = status_of(tmp_path)
    assert first.state == "damaged" and name in first.problem and "\n" not in first.problem
    assert second.state == "training" and second.iteration == 5
    text = " ".join(shown([first, second]).split())
    assert f"damaged: demo/{ENTRY}: expected" in text


@pytest.mark.parametrize("content", ["", "[]", "null", '{"host": 1}', '{"host": "', "\0" * 40])
def test_a_lock_without_an_owner_is_none(tmp_path, content):
    folder = work_dir(tmp_path, [step(5)])
    (folder / "running.json").write_text(content)
    assert only(tmp_path).state == "failed"


def test_damaged_metrics(tmp_path):
    folder = write_result(tmp_path / "results" / "demo", ENTRY, "demo", 0.4)
    (folder / "metrics.json").write_text('{"bbox": {"AP": 7}}')
    run = only(tmp_path)
    assert run.state == "damaged" and "metrics.json" in run.problem and run.AP is None


RECORDS = {
    "nothing yet": (b"", None, None),
    "an incomplete first line": (b'{"iteration": 1, "lo', None, None),
    "an incomplete last line": (lines([step(4)]).encode() + b'{"iteration": 5, "l', 4, 1.5),
    "a line in the middle": (b"%s?\n%s" % ((lines([step(4)]).encode(),) * 2), 4, 1.5),
    "no loss": (b'{"iteration": 6, "lr": 0.1}\n', 6, None),
    "a loss that is text": (b'{"iteration": 6, "lr": 0.1, "loss": "high"}\n', 6, None),
    "other types": (b'7\n[]\n{"iteration": true}\n{"iteration": 2, "lr": 1}\n', 2, None),
    "bytes that are no text": (b"\xff\xfe\n" + lines([step(4)]).encode(), 4, 1.5),
    "no last newline": (lines([step(4)]).encode().rstrip(), 4, 1.5),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_is_being_written(tmp_path, case):
    content, iteration, loss = RECORDS[case]
    folder = work_dir(tmp_path, running=own_lock())
    (folder / "training.jsonl").write_bytes(content)
    run = only(tmp_path)
    assert (run.state, run.iteration, run.loss) == ("training", iteration or 0, loss)
    assert f"{iteration or 0}/400 it" in shown([run])


def test_a_training_by_epochs_that_starts(tmp_path):
    work_dir(tmp_path, running=own_lock(), schedule=EPOCHS)
    run = only(tmp_path)
    assert (run.iteration, run.epoch, run.seconds_left) == (0, 0, None)
    assert "0.0/12 epochs" in shown([run])


def test_numbers_that_are_not_finite(tmp_path):
    rows = [step(1), step(2, math.nan, math.inf), {"iteration": 2, "AP": math.nan}]
    work_dir(tmp_path, rows, running=own_lock())
    run = only(tmp_path)
    assert math.isnan(run.loss) and math.isnan(run.AP) and run.seconds_per_iteration == 0.5
    assert "nan" in shown([run])
    document = json.dumps(run.as_json(), allow_nan=False)
    assert json.loads(document)["loss"] is None


def test_hostile_names_and_values_stay_text(tmp_path):
    work_dir(tmp_path, [step(1)], entry="[red]x\x1b[2J", running=own_lock(host="[b]\x1b[1m"))
    text = shown(status_of(tmp_path))
    assert "[red]x[2J" in text and "\x1b" not in text and "[b][1m" in text


@pytest.mark.parametrize("width", [80, 100, 200])
def test_numbers_are_whole_in_a_narrow_terminal(tmp_path, width):
    rows = [step(k, 12.345) for k in range(1, 351)]
    rows.append({"iteration": 350, "AP": 0.25, "oLRP": 0.755})
    work_dir(tmp_path, rows, running=own_lock(), schedule=EPOCHS)
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(status_table(status_of(tmp_path), width))
    text = console.export_text()
    assert len(text.splitlines()) < 6
    for number in ("3.5/12 epochs", "7 min 05 s", "12.345", "25.0", "75.5", "training"):
        assert number in text


def test_the_tail_of_a_long_record_is_read_in_no_time(tmp_path):
    path = tmp_path / "training.jsonl"
    text = lines([step(k) for k in range(1, 1001)])
    with path.open("w") as stream:
        for _ in range(500):
            stream.write(text)
        stream.write(lines([{"iteration": 1000, "AP": 0.5, "oLRP": 0.5}, step(500_001, 0.25)]))
    begin = time.perf_counter()
    tail = read_tail(path)
    assert time.perf_counter() - begin < 1  # milliseconds; the whole file takes seconds
    assert (tail.iteration, tail.loss, tail.validation["AP"]) == (500_001, 0.25, 0.5)
    assert len(tail.times) == WINDOW


@pytest.mark.parametrize("block", [7, 64, 1000])
def test_blocks_of_any_size_give_the_same(tmp_path, monkeypatch, block):
    rows = [step(k, loss=k, seconds=k) for k in range(1, 301)]
    rows.insert(20, {"iteration": 20, "AP": 0.2, "oLRP": 0.8})
    path = tmp_path / "training.jsonl"
    path.write_text(lines(rows) + '{"iteration"')
    monkeypatch.setattr(record_tail, "BLOCK", block)
    tail = read_tail(path)
    assert (tail.iteration, tail.loss, tail.validated_at) == (300, 300, 20)
    assert tail.times == [float(k) for k in range(300, 300 - WINDOW, -1)]
    assert tail.validation["oLRP"] == 0.8


def test_reading_while_files_are_written_and_deleted(tmp_path):
    """Another thread writes as a training does, and removes what a finished one removes."""
    folder = work_dir(tmp_path, [step(1)], running=own_lock())
    results = write_result(tmp_path / "results" / "demo", "other", "demo", 0.4)
    metrics = (results / "metrics.json").read_text()
    stop = threading.Event()

    def write():
        while not stop.is_set():
            for name, text in (("running", own_lock()), ("schedule", EPOCHS)):
                part = folder / f".{name}.part"
                part.write_text(json.dumps(text))
                part.replace(folder / f"{name}.json")
            with (folder / "training.jsonl").open("a") as stream:
                for half in ('{"iteration": 9, "lo', 'ss": 2, "lr": 1}\n'):
                    stream.write(half)
                    stream.flush()
            (folder / "running.json").unlink()
            (folder / "schedule.json").unlink()
            (results / "metrics.json").unlink()
            part = results / ".part"
            part.write_text(metrics)
            part.replace(results / "metrics.json")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = [status_of(tmp_path) for _ in range(200)]
    finally:
        stop.set()
        thread.join()
    found = {run.entry: set() for runs in seen for run in runs}
    for run in (run for runs in seen for run in runs):
        assert run.problem is None
        found[run.entry].add(run.state)
    assert found[ENTRY] <= {"training", "failed"} and found["other"] <= {"done", "trained"}
    assert len(seen[-1]) == 2


def test_nothing_is_written(tmp_path):
    work_dir(tmp_path, [step(5)], running=own_lock(started="0"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert only(tmp_path).state == "interrupted"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def call(*arguments, code=0, **environment):
    done = CliRunner().invoke(app, ["status", *map(str, arguments)], env=environment)
    if isinstance(done.exception, InputError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANKDET_RESULTS", raising=False)
    assert call().startswith("no runs yet")
    assert json.loads(call("--json")) == []
    folder = work_dir(tmp_path, [step(5)], running=own_lock())
    text = call()
    assert ENTRY in text and "5/400 it" in text and "training" in text
    assert call("--preset", "paper").startswith("no runs yet")
    [run] = json.loads(call("--json", "--preset", "demo"))
    assert set(run) == set(RunStatus.__dataclass_fields__)
    assert run["state"] == "training" and run["pid"] == os.getpid()
    assert call("--results", "none", "--work", "nowhere").startswith("no runs yet")
    # As in a container, where everything is in one mount.
    folder.parent.parent.rename(tmp_path / "moved")
    (tmp_path / "mount").mkdir()
    (tmp_path / "moved").rename(tmp_path / "mount" / "work")
    assert ENTRY in call(RANKDET_RESULTS="mount")


def test_mistakes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a preset \(paper.*got 'demp'; nearest: demo"):
        call("--preset", "demp")
    with pytest.raises(InputError, match="--watch or --json"):
        call("--watch", "1", "--json")


def test_watch_without_a_terminal_prints_one_after_the_other(tmp_path, monkeypatch):
    folder = work_dir(tmp_path, [step(5)], running=own_lock())
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        (folder / "training.jsonl").write_text(lines([step(6)]))
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    text = call("--watch", "30", "--results", tmp_path / "results", "--work", tmp_path / "work")
    assert waited == [30, 30]
    assert text.index("5/400 it") < text.index("6/400 it") and "\x1b" not in text


def test_watch_on_a_terminal_redraws_in_place(tmp_path, monkeypatch):
    work_dir(tmp_path, [step(5)], running=own_lock())
    frames = []

    def sleep(seconds):
        frames.append(seconds)
        if len(frames) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    text = call("--watch", "0.1", "--results", tmp_path / "results", "--work", tmp_path / "work")
    assert len(frames) == 3
    assert "5/400 it" in text and "\x1b[1A" in text  # the cursor goes up
