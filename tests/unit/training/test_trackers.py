"""Trackers get each point of the record once, also over kills, and never disturb a training."""

import json
import os
import sys
import threading
import time
from importlib.util import find_spec

import pytest
import torch

from rankdet.catalogue.presets import Preset
from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.training import follower, trackers
from rankdet.training.run import Settings, train
from rankdet.training.trackers import KINDS, Kind, Point, requested

ABOUT = {"entry": "rs_atss_r50", "preset": "demo", "seed": 0, "batch_size": 2, "iterations": 40}


def needs(package):
    """Skip where the package is absent; the pinned environment has tensorboard."""
    reason = f"{package} is not installed"
    return pytest.mark.skipif(find_spec(package) is None, reason=reason)


def step(iteration):
    return {"iteration": iteration, "loss": 1 / iteration, "lr": 0.1, "time": 0.25}


def rows_until(iteration, interval=5):
    """The rows of a record: steps, and a validation after every fifth."""
    for k in range(1, iteration + 1):
        yield step(k)
        if k % interval == 0:
            yield {"iteration": k, "AP": k / 100, "oLRP": 1 - k / 100}


def write(path, rows, more=""):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + more)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(follower, "SECONDS", 0.01)
    monkeypatch.setattr(follower, "LIMIT", 20.0)


def follow(folder, names, iteration=0, ended=lambda: "finished"):
    """Follow the record in ``folder`` in this process; return the warnings."""
    said = []
    order = {"trackers": names, "work_dir": str(folder), "iteration": iteration, "about": ABOUT}
    follower.follow(order | {"record": str(folder / "training.jsonl")}, ended, said.append)
    return said


# What a user asks for.


def installed(monkeypatch, *packages):
    monkeypatch.setattr(trackers, "find_spec", lambda name: name in packages or None)


def test_the_default_is_tensorboard_where_it_is_installed(monkeypatch):
    said = []
    installed(monkeypatch, "tensorboard")
    assert requested(None, said.append) == ("tensorboard",) and said == []
    installed(monkeypatch)
    assert requested([], said.append) == ()
    [line] = said
    assert "no tensorboard" in line and "pip install tensorboard" in line


def test_a_tracker_that_was_asked_for_must_be_installed(monkeypatch):
    installed(monkeypatch, "wandb")
    assert requested(["wandb", "wandb"], pytest.fail) == ("wandb",)
    for name in ("tensorboard", "mlflow"):
        with pytest.raises(InputError, match=f"the package {name}, .*pip install {name}"):
            requested(["wandb", name], pytest.fail)


def test_none_and_unknown_names():
    assert requested(["none"], pytest.fail) == ()
    for names in (["tensorbord"], ["none", "tensorboard"]):
        with pytest.raises(InputError, match="one or more of tensorboard, wandb, mlflow, or none"):
            requested(names, pytest.fail)


# The follower, with a tracker that keeps what it gets.


class Kept:
    """A tracker; ``fails`` names the method that raises, "hang" makes ``send`` wait."""

    def __init__(self, session, fails=""):
        self.session, self.fails, self.points, self.finished = session, fails, [], None
        self._maybe("start")

    def _maybe(self, name):
        if self.fails == name:
            raise SystemExit("no\nnetwork")

    def is_new(self, point):
        return point.iteration > self.session.last(point.kind)

    def send(self, points):
        self._maybe("send")
        if self.fails == "hang":
            time.sleep(60)
        self.points += points

    def close(self, is_finished):
        self._maybe("close")
        self.finished = is_finished


@pytest.fixture
def kept(monkeypatch, quick):
    """Register trackers that keep their points; return them by name."""
    made = {}

    def register(name, fails=""):
        def start(session):
            made[name] = Kept(session, fails)
            return made[name]

        monkeypatch.setitem(KINDS, name, Kind(start, "json"))
        return made

    return register


def expected(rows):
    return [
        (
            "train" if "lr" in row else "val",
            row["iteration"],
            {key: value for key, value in row.items() if key != "iteration"},
        )
        for row in rows
    ]


def test_every_line_is_sent_in_order_while_the_record_grows(tmp_path, kept):
    made, path, rows = kept("one"), tmp_path / "training.jsonl", list(rows_until(40))
    path.write_text("")
    done = threading.Event()

    def grow():
        for row in rows:
            text = json.dumps(row) + "\n"
            for half in (text[:9], text[9:]):
                with path.open("a") as stream:
                    stream.write(half)
                time.sleep(0.001)
        done.set()

    threading.Thread(target=grow).start()
    assert follow(tmp_path, ["one"], ended=lambda: done.wait() and "finished") == []
    assert made["one"].points == expected(rows) and made["one"].finished is True
    assert json.loads((tmp_path / "trackers.json").read_text()) == {"one": {"train": 40, "val": 40}}


def test_lines_that_are_no_points_are_left_out(tmp_path, kept):
    made, path = kept("one"), tmp_path / "training.jsonl"
    more = '?\n[]\n{"loss": 1}\n{"iteration": "x", "lr": 1}\n{"iteration": 9}\n{"iteration": 3, "l'
    write(path, [step(1) | {"note": "text", "AP": None}], more)
    assert follow(tmp_path, ["one"], ended=lambda: "killed") == []
    assert made["one"].points == expected([step(1)]) and made["one"].finished is False


@pytest.mark.parametrize("fails", ["start", "send", "close"])
def test_a_tracker_that_fails_is_said_once_and_the_others_get_all(tmp_path, kept, fails):
    kept("bad", fails)
    made = kept("good")
    write(tmp_path / "training.jsonl", rows_until(40))
    [line] = follow(tmp_path, ["bad", "good"])
    assert line == ("bad failed (SystemExit: no\\nnetwork); the training continues without it")
    assert made["good"].points == expected(rows_until(40)) and made["good"].finished


def test_a_tracker_that_hangs_is_not_waited_for(tmp_path, kept, monkeypatch):
    monkeypatch.setattr(follower, "LIMIT", 0.5)
    kept("bad", "hang")
    made = kept("good")
    write(tmp_path / "training.jsonl", rows_until(40))
    begin = time.monotonic()
    said = follow(tmp_path, ["bad", "good"])
    assert time.monotonic() - begin < 20 and len(said) == 1 and said[0].startswith("bad did not")
    assert len(made["good"].points) == 48


# (Iterations of the record at the end of a session, checkpoint of the next one.)
SESSIONS = {
    "stopped with a checkpoint": [(12, 12), (40, 40)],
    "killed after its checkpoint": [(13, 10), (29, 25), (40, 40)],
    "killed at a validation": [(10, 10), (40, 40)],
    "its newest checkpoint was damaged": [(25, 10), (40, 40)],
    "nothing new": [(20, 15), (17, 15), (40, 40)],
}


def sessions(folder, name, of):
    """Run sessions with a kill after each; ``of(rows)`` is the record that a kill leaves."""
    path, start = folder / "training.jsonl", 0
    for number, (end, checkpoint) in enumerate(SESSIONS[name]):
        write(path, of(list(rows_until(end)), end))
        is_last = number == len(SESSIONS[name]) - 1
        yield start, "finished" if is_last else "killed"
        start = checkpoint


def without_last_validation(rows, end):
    """A kill between a step and the validation that was due after it."""
    return [row for row in rows if row["iteration"] < end or "lr" in row or end == 40]


@pytest.mark.parametrize("of", [lambda rows, end: rows, without_last_validation])
@pytest.mark.parametrize("name", SESSIONS)
def test_a_tracker_that_cannot_forget_gets_each_point_once(tmp_path, kept, name, of):
    points = []
    for start, word in sessions(tmp_path, name, of):
        made = kept("one")
        assert follow(tmp_path, ["one"], start, lambda word=word: word) == []
        points += made["one"].points
    assert sorted(points) == sorted(expected(rows_until(40)))


def scalars(folder):
    """What TensorBoard shows of the event files: {tag: [(step, value)]}."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def tagged(rows):
    found = {}
    for kind, iteration, values in expected(rows):
        for key, value in values.items():
            found.setdefault(f"{kind}/{key}", []).append((iteration, value))
    return found


@needs("tensorboard")
@pytest.mark.parametrize("lost", ["", "state", "one batch"])
@pytest.mark.parametrize("of", [lambda rows, end: rows, without_last_validation])
@pytest.mark.parametrize("name", SESSIONS)
def test_tensorboard_shows_each_point_once(tmp_path, quick, name, of, lost):
    """Also if ``trackers.json`` is older than the event files, or was not written."""
    for start, word in sessions(tmp_path, name, of):
        assert follow(tmp_path, ["tensorboard"], start, lambda word=word: word) == []
        state = tmp_path / "trackers.json"
        if lost == "state":
            state.unlink()
        elif lost:
            sent = json.loads(state.read_text())["tensorboard"]
            older = {kind: max(0, value - 3) for kind, value in sent.items()}
            state.write_text(json.dumps({"tensorboard": older}))
    assert scalars(tmp_path / "tensorboard") == tagged(rows_until(40))


@needs("tensorboard")
def test_a_tracker_chosen_later_gets_the_earlier_points_too(tmp_path, quick):
    write(tmp_path / "training.jsonl", rows_until(40))
    assert follow(tmp_path, ["tensorboard"], iteration=30) == []
    assert scalars(tmp_path / "tensorboard") == tagged(rows_until(40))


@needs("wandb")
@pytest.mark.parametrize("name", ["killed after its checkpoint"])
def test_wandb_offline(tmp_path, quick, monkeypatch, name):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for start, word in sessions(tmp_path, name, lambda rows, end: rows):
        assert follow(tmp_path, ["wandb"], start, lambda word=word: word) == []
    folders = list((tmp_path / "wandb").glob("offline-run-*"))
    run = json.loads((tmp_path / "trackers.json").read_text())["wandb"]["run"]
    assert len(folders) == len(SESSIONS[name]) and all(run in f.name for f in folders)
    found = [row for folder in sorted(folders) for row in history(folder)]
    points = [
        Point(kind, row["iteration"], {
            key.partition("/")[2]: value for key, value in row.items() if key.startswith(kind)
        })
        for row in found
        for kind in ("train", "val")
        if any(key.startswith(kind) for key in row)
    ]  # fmt: skip
    assert sorted(points) == sorted(expected(rows_until(40)))


def history(folder):
    """The rows of an offline run: a log of records in LevelDB's format."""
    from wandb.proto.wandb_internal_pb2 import Record

    [path] = folder.glob("*.wandb")
    raw, place, part = path.read_bytes(), 7, b""
    while place + 7 <= len(raw):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        size, kind = int.from_bytes(raw[place + 4 : place + 6], "little"), raw[place + 6]
        data = raw[place + 7 : place + 7 + size]
        part = data if kind in (1, 2) else part + data
        place += 7 + size
        if kind in (1, 4):
            record = Record.FromString(part)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                yield {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}


@needs("mlflow")
@pytest.mark.parametrize("name", ["killed after its checkpoint"])
def test_mlflow_with_a_local_store(tmp_path, quick, monkeypatch, name):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # since 3.7 it is asked for
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
    for start, word in sessions(tmp_path, name, lambda rows, end: rows):
        assert follow(tmp_path, ["mlflow"], start, lambda word=word: word) == []
    client = MlflowClient()
    run = client.get_run(json.loads((tmp_path / "trackers.json").read_text())["mlflow"]["run"])
    assert run.info.status == "FINISHED" and run.data.params["entry"] == "rs_atss_r50"
    for tag, points in tagged(rows_until(40)).items():
        found = client.get_metric_history(run.info.run_id, tag)
        assert [(each.step, each.value) for each in found] == points


# With a training.

TINY = Preset("demo", "for this test", "digits", 4, 2, 64, True, 1e-3, 1e-3, workers=0)
PRESET = Preset(**{**vars(TINY), "validations": 2})


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepare_digits(tmp_path_factory.mktemp("data") / "digits", 0, 6, 2)


@pytest.fixture(scope="module")
def without(digits, tmp_path_factory):
    """The result of a training without a tracker."""
    folder = tmp_path_factory.mktemp("without")
    train("control_atss_r50", PRESET, digits, folder / "work", folder / "checkpoint.pth")
    return result_of(folder)


def result_of(folder):
    """Weights and record without times, and the work directory's settings."""
    state = torch.load(folder / "checkpoint.pth", weights_only=True)["state_dict"]
    rows = map(json.loads, (folder / "training.jsonl").read_text().splitlines())
    return (
        {name: tensor.numpy().tobytes() for name, tensor in state.items()},
        [{key: value for key, value in row.items() if key != "time"} for row in rows],
        (folder / "work" / "run_settings.json").read_bytes(),
    )


@needs("tensorboard")
def test_a_training_with_a_tracker_is_the_same_training(digits, without, tmp_path):
    settings = Settings(trackers=("tensorboard",))
    out = tmp_path / "checkpoint.pth"
    train("control_atss_r50", PRESET, digits, tmp_path / "work", out, settings)
    assert result_of(tmp_path) == without
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert scalars(tmp_path / "work" / "tensorboard") == tagged(rows)
    tags = set(scalars(tmp_path / "work" / "tensorboard"))
    assert {"train/loss", "train/lr", "train/time", "val/AP", "val/oLRP"} <= tags
    # Another choice, or none, is the same run: it is published again.
    train("control_atss_r50", PRESET, digits, tmp_path / "work", out, Settings(resume=True))
    # A restart leaves nothing of the former one.
    settings = Settings(restart=True)
    train("control_atss_r50", PRESET, digits, tmp_path / "work", out, settings)
    assert not (tmp_path / "work" / "tensorboard").exists()
    assert not (tmp_path / "work" / "trackers.json").exists()
    assert result_of(tmp_path) == without


@needs("tensorboard")
def test_a_folder_that_cannot_be_written_stops_no_training(digits, without, tmp_path, capfd):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "tensorboard").write_text("a file")
    train(
        *("control_atss_r50", PRESET, digits, tmp_path / "work", tmp_path / "checkpoint.pth"),
        settings=Settings(trackers=("tensorboard",)),
    )
    assert result_of(tmp_path) == without
    said = [line for line in capfd.readouterr().err.splitlines() if "tensorboard" in line]
    assert len(said) == 1 and said[0].startswith("rankdet: warning: tensorboard failed (")


def test_a_process_that_does_not_start_stops_no_training(
    digits, without, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "executable", os.devnull)
    train(
        *("control_atss_r50", PRESET, digits, tmp_path / "work", tmp_path / "checkpoint.pth"),
        settings=Settings(trackers=("tensorboard",)),
    )
    assert result_of(tmp_path) == without
    assert "warning: the trackers did not start" in capsys.readouterr().err
