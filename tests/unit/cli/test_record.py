"""`rankdet record`: the small files of a finished training come back, or one line says why not."""

import json

import pytest
from typer.testing import CliRunner

from rankdet.cli import train  # noqa: F401 - registers the verb
from rankdet.cli.app import app
from rankdet.errors import InputError

ENTRY = "rs_atss_r50"
RECORD = {"entry": ENTRY, "preset": "demo", "iterations": 2}


@pytest.fixture
def folders(tmp_path):
    work, results = tmp_path / "work", tmp_path / "results"
    work.mkdir()
    results.mkdir()
    (work / "finished.pth").write_bytes(b"weights")
    (work / "finished.json").write_text(json.dumps(RECORD))
    (work / "training.jsonl").write_text('{"iteration": 1, "loss": 1.5}\n')
    (results / "checkpoint.pth").write_bytes(b"weights")
    return work, results


def call(work, results, entry=ENTRY, preset="demo"):
    arguments = ["record", entry, "--preset", preset, "--work-dir", str(work)]
    result = CliRunner().invoke(app, [*arguments, "--checkpoint", str(results / "checkpoint.pth")])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output


def test_both_records_come_back_and_nothing_else_changes(folders):
    work, results = folders
    call(*folders)
    assert json.loads((results / "run.json").read_text()) == RECORD
    lines = (results / "training.jsonl").read_text()
    assert lines == (work / "training.jsonl").read_text()
    assert {path.name for path in results.iterdir()} == {
        *("checkpoint.pth", "run.json", "training.jsonl")
    }
    assert (results / "checkpoint.pth").read_bytes() == b"weights"


@pytest.mark.parametrize("gone", ["finished.pth", "finished.json", "training.jsonl"])
def test_a_training_that_has_not_finished_is_refused(folders, gone):
    (folders[0] / gone).unlink()
    with pytest.raises(InputError, match=f"a finished training of {ENTRY}.*got none"):
        call(*folders)
    assert [path.name for path in folders[1].iterdir()] == ["checkpoint.pth"]


@pytest.mark.parametrize(
    ("entry", "preset"), [("control_atss_r50", "demo"), (ENTRY, "paper")], ids=["entry", "preset"]
)
def test_the_record_of_another_training_is_refused(folders, entry, preset):
    with pytest.raises(InputError, match=f"got one of {ENTRY}, preset demo"):
        call(*folders, entry, preset)
    assert [path.name for path in folders[1].iterdir()] == ["checkpoint.pth"]
