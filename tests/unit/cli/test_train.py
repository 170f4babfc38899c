"""`rankdet train` gives the run what was asked for, and asks for nothing of its own."""

import pytest
from typer.testing import CliRunner

from rankdet.cli import train as train_module  # noqa: F401 - registers the verb
from rankdet.cli.app import app
from rankdet.datasets.digits import prepare_digits
from rankdet.errors import InputError
from rankdet.training import run as run_module
from rankdet.training import trackers as trackers_module


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Call `rankdet train` with options; return what its run was asked for."""
    data = prepare_digits(tmp_path / "digits", 0, 2, 1)
    seen = {}

    def run(entry, preset, data, work_dir, out, settings):
        seen.update(vars(settings), entry=entry, preset=preset, data=data)
        seen.update(work_dir=work_dir, out=out)
        return {"iterations": 1, "seconds": 0.0}

    monkeypatch.setattr(run_module, "train", run)

    def call(*options):
        base = ["train", "rs_atss_r50", "--preset", "demo", "--data", str(data.folder)]
        base += ["--work-dir", str(tmp_path / "w"), "--out", str(tmp_path / "o" / "c.pth")]
        result = CliRunner().invoke(app, [*base, *options])
        if isinstance(result.exception, InputError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return seen

    return call


def test_what_is_said_arrives(asked, tmp_path):
    seen = asked(
        *("--seed", "9", "--resume", "--threads", "3", "--workers", "2", "--passes", "4"),
        *("--iterations", "17", "--bf16", "--compile"),
    )
    assert seen["entry"] == "rs_atss_r50"
    assert (seen["preset"].name, seen["preset"].iterations) == ("demo", 17)
    assert (seen["seed"], seen["resume"], seen["threads"]) == (9, True, 3)
    assert (seen["workers"], seen["passes"]) == (2, 4)
    assert (seen["work_dir"], seen["out"]) == (tmp_path / "w", tmp_path / "o" / "c.pth")
    assert seen["data"].train.image_count == 2
    speed = seen["speed"]
    assert (speed.bf16, speed.channels_last, speed.compiled) == (True, False, True)


def test_what_is_not_said_is_the_default(asked):
    seen = asked()
    # 0 passes: as many as make the parts of the official GPUs.
    assert (seen["seed"], seen["resume"], seen["passes"]) == (0, False, 0)
    assert seen["workers"] is seen["threads"] is None
    assert seen["preset"].iterations == 300
    assert not seen["speed"].chosen
    assert (seen["restart"], seen["on_change"]) == (False, "refuse")


def test_what_becomes_of_an_older_training_is_said(asked):
    seen = asked("--restart", "--on-change", "set-aside")
    assert (seen["restart"], seen["on_change"]) == (True, "set-aside")


def test_trackers_come_from_the_option_or_the_environment(asked, monkeypatch):
    monkeypatch.setattr(trackers_module, "find_spec", lambda name: name != "wandb" or None)
    monkeypatch.delenv("RANKDET_TRACKERS", raising=False)
    assert asked()["trackers"] == ("tensorboard",)
    assert asked("--tracker", "none")["trackers"] == ()
    monkeypatch.setenv("RANKDET_TRACKERS", "tensorboard mlflow")
    assert asked()["trackers"] == ("tensorboard", "mlflow")
    assert asked("--tracker", "mlflow")["trackers"] == ("mlflow",)
    with pytest.raises(InputError, match=r"the package wandb.*pip install wandb"):
        asked("--tracker", "wandb")


def test_outputs_among_the_files_of_a_training_are_refused(tmp_path):
    base = ["train", "rs_atss_r50", "--preset", "demo", "--work-dir", str(tmp_path)]
    for out, log in (
        ("finished.json", None),
        ("running.json", None),
        ("run.json", None),
        ("c.pth", "training.jsonl"),
        ("c.pth", "c.pth"),
    ):
        options = ["--out", str(tmp_path / out)]
        options += ["--log", str(tmp_path / log)] if log else []
        result = CliRunner().invoke(app, [*base, *options])
        assert isinstance(result.exception, InputError), (out, log, result.exception)
    assert not list(tmp_path.iterdir())
