"""What a command writes: looked at before, whole or not at all, and nothing else replaced."""

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from rankdet import outputs
from rankdet.cli import compare, evaluate, fetch, report, search, train  # noqa: F401
from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.outputs import atomic_path, check_outputs, write_failure, write_json, write_text

TRUTH = {
    "images": [{"id": 1, "width": 40, "height": 30}],
    "categories": [{"id": 1, "name": "thing"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    ],
}
FOUND = [{"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [1, 1, 9, 9]}]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder, the present one, with something of every kind in it."""
    monkeypatch.chdir(tmp_path)
    write_json("gt.json", TRUTH)
    write_json("dt.json", FOUND)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    os.mkfifo("pipe")
    (tmp_path / "to-pipe").symlink_to("pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to-folder").symlink_to("folder")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket")
    return tmp_path


def kinds(folder):
    """Return what lies in a folder, by kind."""
    return {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}


REFUSED = {
    "pipe": "a pipe",
    "to-pipe": "a pipe",
    "socket": "a socket",
    "folder": "a folder",
    "to-folder": "a folder",
    ".": "a folder",
    "": "a folder",
    "/dev/null": "a device",
    "/dev/stdout": "standard output|a pipe|a device",
    "/proc/x.json": "/proc/x.json: ",
    "loop": "symbolic links",
    "file/x.json": "Not a directory",
    "file/deeper/x.json": "Not a directory",
    "n" * 256: "name too long",
    "new/" + "n" * 256: "name too long",
    "gt.json": "an input of this command",
    "folder/../dt.json": "an input of this command",
}


@pytest.mark.parametrize("target", REFUSED)
def test_a_bad_target_is_refused_before_the_work(place, target):
    before = kinds(place)
    command = [sys.executable, "-c", "import rankdet.cli; rankdet.cli.main()", "evaluate"]
    command += ["--annotations", "gt.json", "--detections", "dt.json", "--out", target]
    run = subprocess.run(command, text=True, capture_output=True)
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1, run.stderr
    assert run.stderr.startswith("rankdet: error: expected a") and "--out" in run.stderr
    assert kinds(place) == before and json.loads((place / "gt.json").read_text()) == TRUTH
    if not target.startswith("/dev"):  # never try a real device
        with pytest.raises(InputError, match=REFUSED[target]):
            check_outputs({"--out": target}, inputs=["gt.json", "dt.json"])


TRAIN, DATA = ("rs_atss_r50", "--preset", "smoke"), ("--data", "file")
OUT, CURVES = ("--out", "{}"), ("--curves", "{}")
VERBS = [
    ("convert", "rs_atss_r50", "--source", "file", "--out", "{}"),
    ("report", "html", "--preset", "demo", "--out", "{}"),
    ("search", "start", "paploss", "--out", "{}"),
    ("search", "update", "--state", "file", "--sample", "file", "--out", "{}"),
    ("search", "finish", "folder", "--out", "{}"),
    ("search", "sample", "--state", "file", "--index", "0", *DATA, "--work-dir", "w", *OUT),
    ("fetch", "status", "file", "--out", "{}"),
    ("fetch", "coco", "--sums", "{}"),
    ("fetch", "lvis", "--sums", "{}"),
    ("fetch", "checkpoint", "rs_atss_r50", "--status", "{}"),
    ("prepare", "coco", "--root", "folder", "--out", "{}"),
    ("prepare", "lvis", "--root", "folder", "--out", "{}"),
    ("evaluate", *("--annotations", "gt.json", "--detections", "dt.json", "--out", "m"), *CURVES),
    ("train", *TRAIN, "--work-dir", "w", "--out", "{}"),
    ("train", *TRAIN, "--work-dir", "w", "--out", "c", "--log", "{}"),
    ("predict", *TRAIN, "--work-dir", "w", "--checkpoint", "file", *OUT),
]
FOLDER_VERBS = [
    ("prepare", "digits", "--out", "{}"),
    ("prepare", "drawn", "--out", "{}"),
    ("report", "tables", "--preset", "demo", "--out", "{}"),
    ("report", "figures", "--preset", "demo", "--out", "{}"),
    ("fetch", "backbone", "resnet50", "--into", "{}"),
    ("submission", "--detections", "dt.json", "--name", "x", "--out-dir", "{}"),
    ("compare", "dt.json", "dt.json", "--annotations", "gt.json", "--out", "{}"),
    ("train", *TRAIN, "--work-dir", "{}", "--out", "c"),
]


def name_of(value):
    return " ".join(part for part in value if part[0] not in "-{")[:40]


@pytest.mark.parametrize("target", ["folder", "pipe", "socket", "file/x"])
@pytest.mark.parametrize("verb", VERBS, ids=name_of)
def test_every_verb_looks_at_its_file_first(place, verb, target):
    refuses(place, verb, target)


@pytest.mark.parametrize("target", ["file", "pipe", "socket", "file/x", "/proc/x"])
@pytest.mark.parametrize("verb", FOLDER_VERBS, ids=name_of)
def test_every_verb_looks_at_its_folder_first(place, verb, target):
    refuses(place, verb, target)


def refuses(place, verb, target):
    before = kinds(place)
    result = CliRunner().invoke(app, [part.format(target) for part in verb])
    assert isinstance(result.exception, InputError), result.exception
    assert target in str(result.exception)
    assert kinds(place) == before


@pytest.mark.parametrize(
    ("files", "folders", "log"),
    [
        ({"--out": "a", "--curves": "a"}, {}, None),
        ({"--out": "a", "--curves": "folder/../a"}, {}, None),
        ({"--out": "a", "--curves": "a/b"}, {}, None),
        ({"--out": "a"}, {"--work-dir": "a"}, None),
        ({"--out": "a"}, {"--work-dir": "a/b/c"}, None),
        ({"--out": "a"}, {}, "a"),
        ({}, {"--work-dir": "a"}, "a"),
        ({"--out": "own"}, {}, None),
    ],
)
def test_two_outputs_in_one_place_are_refused(place, files, folders, log):
    with pytest.raises(InputError, match="choose"):
        check_outputs(files, folders, log=log, own=["own"])


def test_what_can_be_written_is_not_refused(place):
    before = kinds(place)
    files = {"--out": "new/deep/a.json", "--curves": "n" * 255, "--more": None, "--old": "file"}
    check_outputs(files, {"--work-dir": "w", "--into": "to-folder"}, log="folder/log")
    assert kinds(place) == before


def test_a_link_is_written_through(place):
    (place / "link").symlink_to("folder/target")
    for text in ("one", "two"):  # dangling, then not
        write_text("link", text)
        assert (place / "link").is_symlink() and (place / "folder/target").read_text() == text


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o027, 0o640)])
def test_a_new_file_obeys_the_umask_and_an_old_one_keeps_its_mode(tmp_path, mask, mode):
    (tmp_path / "old").touch(0o604)
    (tmp_path / "old").chmod(0o604)
    before = os.umask(mask)
    try:
        write_text(tmp_path / "folder" / "new", "x")
        write_text(tmp_path / "old", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "new").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_a_failure_keeps_the_old_file_and_names_the_place(tmp_path, number):
    target = tmp_path / "m.json"
    target.write_text("old")
    with pytest.raises(OSError) as caught, atomic_path(target) as part:
        part.write_text("half")
        raise OSError(number, os.strerror(number))
    assert str(target) in write_failure(caught.value) and caught.value.errno == number
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]
    assert target.read_text() == "old"


def test_other_errors_are_no_failures_to_write():
    assert write_failure(ValueError()) is None and write_failure(KeyError(28)) is None


SLOW = """
import sys, time, rankdet.cli
from rankdet.cli.app import app
from rankdet.outputs import atomic_path

@app.command("slow")
def slow():
    with atomic_path("m.json") as part:
        part.write_text("half")
        print("begun", flush=True)
        time.sleep(60)

rankdet.cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_no_part_file(tmp_path, number):
    def as_in_a_terminal():  # nohup ignores SIGHUP, and a shell's background SIGINT
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "slow"],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=as_in_a_terminal,
    )
    assert process.stdout.readline() == "begun\n"
    begin = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number and time.monotonic() - begin < 20
    assert len(said.splitlines()) == 1 and said.startswith("rankdet: stopped by ")
    assert not list(tmp_path.iterdir())


FOLDER = """
import time
from pathlib import Path
from rankdet.outputs import part_of

with part_of(Path.cwd() / "m.json", is_folder=True) as part:
    (part / "inside").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("script", [SLOW, FOLDER], ids=["file", "folder"])
def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path, script):
    process = subprocess.Popen(
        [sys.executable, "-c", script, "slow"], cwd=tmp_path, text=True, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == "begun\n"
    others = ["m.json.part", ".m.json.abcd.part", ".other.json.12345678.part"]
    for name in others:
        (tmp_path / name).write_text("of somebody else")
    try:
        (left,) = {path.name for path in tmp_path.iterdir()} - set(others)
        write_text(tmp_path / "m.json", "while it lives")
        assert (tmp_path / left).exists()
    finally:
        process.kill()
        process.communicate()
    write_text(tmp_path / "m.json", "after it")
    assert {path.name for path in tmp_path.iterdir()} == {"m.json", *others}
    assert (tmp_path / "m.json").read_text() == "after it"


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "m.json"
    with atomic_path(target) as first, atomic_path(target) as second:
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first" and list(tmp_path.iterdir()) == [target]


def test_without_locks_in_the_file_system_parts_stay(tmp_path, monkeypatch):
    dead = tmp_path / ".m.json.12345678.part"
    dead.write_text("half")

    def none(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(outputs.fcntl, "flock", none)
    write_text(tmp_path / "m.json", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"m.json", dead.name}


def test_a_manifest_does_not_replace_annotations(place):
    for name in ("gt.json", "file"):
        options = ["prepare", "coco", "--root", "folder", "--out", name]
        result = CliRunner().invoke(app, options)
        assert "something else" in str(result.exception)
    assert (place / "file").read_text() == "mine"
