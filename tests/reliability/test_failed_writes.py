"""Writing fails in each way at each kind of file: one line says so, and nothing is lost."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from rankdet import outputs
from rankdet.datasets.digits import prepare_digits
from rankdet.outputs import append_line, write_failure, write_text
from tests.reliability.children import fail_writes, run
from tests.reliability.test_kills import ENTRY, command, result_of

ERRORS = (errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EIO)
# Kind of file -> (pattern of its name, files of the name before the failure).
TRAINING_FILES = {
    "settings": (r"run_settings\.json", 0),
    "record": (r"^\.?training\.jsonl", 7),
    "checkpoint": (r"iter_\d+\.pth", 2),
    "pointer": (r"last_checkpoint", 2),
    "published weights": (r"^\.checkpoint\.pth", 0),
    "run.json": (r"^\.run\.json", 0),
    "finished run": (r"^\.finished\.json", 0),
}
# In `make test` the first two: one while writing, one while opening.
IN_PART = [*ERRORS[:2], *(pytest.param(each, marks=pytest.mark.heavy) for each in ERRORS[2:])]
CASES = [(kind, number) for kind in TRAINING_FILES for number in ERRORS]


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
def test_a_file_that_is_written_whole(number, step, tmp_path, monkeypatch):
    target = tmp_path / "file.json"
    write_text(target, "before")
    error = OSError(number, os.strerror(number))

    def fail(*arguments, **named):
        raise error

    if step == "open":
        monkeypatch.setattr(outputs.os, "open", fail)
    elif step == "write":
        monkeypatch.setattr(Path, "write_text", fail)
    else:
        monkeypatch.setattr(outputs.os if step == "fsync" else Path, step, fail)
    with pytest.raises(OSError) as caught:
        write_text(target, "after")
    monkeypatch.undo()
    line = write_failure(caught.value)
    assert str(target) in line and "bytes" in line and "\n" not in line
    assert line.endswith(outputs.REMEDY[number])
    assert target.read_text() == "before" and [*tmp_path.iterdir()] == [target]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device of Linux")
def test_a_line_that_finds_no_room():
    with pytest.raises(OSError, match="No space left on device after 0 bytes") as caught:
        append_line("/dev/full", "line")
    assert caught.value.filename == "/dev/full"


def test_a_line_that_is_torn_is_taken_back(tmp_path):
    path = tmp_path / "lines"
    append_line(path, "one")
    log = tmp_path / "log"
    before = fail_writes("lines", errno.EIO)
    # In a process of its own, which is left with the fault.
    child = os.fork()
    if child == 0:
        try:
            before()
            append_line(path, "two" * 1000)
        except OSError as error:
            log.write_text(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert path.read_text() == "one\n"
    assert "after 1500 bytes" in log.read_text().replace(",", "") and str(path) in log.read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    prepare_digits(folder / "digits", 0, 8, 2)
    assert run(command(folder, folder / "run"), folder / "log") == 0
    return folder


def check(whole, folder, kind, number):
    pattern, after = TRAINING_FILES[kind]
    arguments, log = command(whole, folder), folder / "log"
    folder.mkdir()
    code = run(arguments, log, fail_writes(pattern, number, after))
    text = log.read_text()
    last = text.splitlines()[-1]
    assert code == 1 and "Traceback" not in text, text[-2000:]
    assert last.startswith("rankdet: error: ") and outputs.REMEDY[number] in last
    assert str(folder) in last and "bytes" in last
    assert not [path for path in folder.rglob("*.part") if "rankdet" not in path.name]
    for path in [*folder.glob("*/*.json"), *folder.glob("*/*.jsonl")]:
        for row in [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines():
            json.loads(row)
    assert run(arguments, log) == 0, log.read_text()[-2000:]
    assert result_of(folder)[0] == result_of(whole / "run")[0]
    if kind != "settings":
        record = json.loads((folder / "out" / "run.json").read_text())
        assert record["sessions"][-1]["from"] > 0 or "published again" in log.read_text()


@pytest.mark.parametrize(("kind", "number"), [CASES[k] for k in range(0, len(CASES), 6)])
def test_a_training_whose_writing_fails(kind, number, whole, tmp_path):
    check(whole, tmp_path / "run", kind, number)


@pytest.mark.heavy  # 5 minutes on two cores
@pytest.mark.parametrize(("kind", "number"), CASES)
def test_a_training_whose_writing_fails_anyhow(kind, number, whole, tmp_path):
    check(whole, tmp_path / "run", kind, number)


@pytest.fixture(scope="module")
def measured(whole):
    """Return the results of a preset with one row, whole but for tables, figures and page."""
    data, log = whole / "digits", whole / "log"
    row = whole / "results" / ENTRY
    shutil.copytree(whole / "run" / "out", row)
    predict = ["predict", ENTRY, "--preset", "demo", "--data", data, "--threads", 1]
    predict += ["--checkpoint", row / "checkpoint.pth", "--out", row / "detections.json"]
    assert run([*predict, "--work-dir", whole / "predict"], log) == 0, log.read_text()[-2000:]
    evaluate = ["evaluate", "--dataset", data, "--detections", row / "detections.json"]
    evaluate += ["--out", row / "metrics.json", "--curves", row / "curves.json"]
    assert run(evaluate, log) == 0, log.read_text()[-2000:]
    return row.parent


@pytest.mark.parametrize("number", IN_PART)
@pytest.mark.parametrize(
    ("verb", "name"),
    [
        *(("tables", f"control.{suffix}") for suffix in ("html", "md", "csv", "tex")),
        *(("figures", f"ap.{suffix}") for suffix in ("svg", "png")),
        ("html", "report.html"),
    ],
)
def test_tables_figures_and_page_whose_writing_fails(verb, name, number, measured, tmp_path):
    out = tmp_path / name if verb == "html" else tmp_path
    log = tmp_path / "log"
    arguments = ["report", verb, "--preset", "demo", "--results", measured, "--out", out]
    (tmp_path / name).write_text("before")
    assert run(arguments, log, fail_writes(rf"^\.{name}", number)) == 1, log.read_text()
    last = log.read_text().splitlines()[-1]
    assert outputs.REMEDY[number] in last and name in last and "bytes" in last
    assert (tmp_path / name).read_text() == "before" and not [*tmp_path.glob(".*")]
    assert run(arguments, log) == 0, log.read_text()[-2000:]
    assert (tmp_path / name).stat().st_size > 100


@pytest.mark.parametrize("number", IN_PART)
def test_detections_and_metrics_whose_writing_fails(number, whole, tmp_path):
    """What was there before stays, and the same command then replaces it."""
    data, log = whole / "digits", tmp_path / "log"
    detections, metrics = tmp_path / "detections.json", tmp_path / "metrics.json"
    predict = ["predict", ENTRY, "--preset", "demo", "--data", data, "--out", detections]
    predict += ["--checkpoint", whole / "run" / "out" / "checkpoint.pth", "--threads", 1]
    predict += ["--work-dir", tmp_path / "work"]
    evaluate = ["evaluate", "--dataset", data, "--detections", detections, "--out", metrics]
    for arguments, path in ((predict, detections), (evaluate, metrics)):
        path.write_text("before")
        assert run(arguments, log, fail_writes(rf"^\.{path.name}", number)) == 1
        last = log.read_text().splitlines()[-1]
        assert outputs.REMEDY[number] in last and str(path) in last and "bytes" in last
        assert path.read_text() == "before"
        assert run(arguments, log) == 0, log.read_text()[-2000:]
        json.loads(path.read_text())
