"""Random names of outputs, locks, lists of files and work directories: an answer or one line."""

import json
import os
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from mmengine.config import Config

from rankdet.cluster import lock
from rankdet.datasets import own_files
from rankdet.datasets.digits import _older_files, prepare_digits
from rankdet.outputs import check_outputs, write_text
from rankdet.training import work_dir
from rankdet.training.work_dir import run_settings
from tests.fuzz.bounded import counts, fuzz

WORDS = st.sampled_from(["", ".", "..", "a", "file", "folder", "link", "loop", "pipe", "new"])
ODD = st.text(max_size=20) | st.text("né\0\n\ud800 /", max_size=5)
NAMES = st.lists(WORDS | ODD | st.integers(200, 300).map("n".__mul__), min_size=1, max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=9,
)


def mutated(document):
    """Change one value of a valid document, drop one, or take another document."""

    def change(pick):
        key, value, kind = pick
        copy = dict(document)
        if kind == 0:
            return copy
        if kind == 1:
            del copy[key]
        else:
            copy[key] = value
        return copy

    keys = st.sampled_from(sorted(document))
    return st.tuples(keys, VALUES, st.integers(0, 3)).map(change) | VALUES


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/target")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo("pipe")
    return tmp_path


@counts
def test_names_of_outputs(place, count):
    def call(pick):
        parts, more = pick
        path = "/".join(parts).lstrip("/")
        check_outputs({"--out": path}, {"--work-dir": "/".join(more).lstrip("/")}, inputs=["file"])
        if ".." not in parts and not path.startswith(".."):
            check_outputs({"--out": path})

    answered, refused = fuzz(count, st.tuples(NAMES, NAMES), call)
    assert answered and refused
    assert sorted(path.name for path in place.iterdir()) == sorted(
        ["file", "folder", "link", "loop", "pipe"]
    )


@counts
def test_locks(tmp_path, monkeypatch, count):
    monkeypatch.setattr(lock, "is_queued", lambda job: False)
    valid = lock._self()

    def call(content):
        (tmp_path / lock.NAME).write_text(json.dumps(content))
        with lock.locked(tmp_path, timeout=0.0):
            pass

    answered, refused = fuzz(count, mutated(valid), call)
    assert answered and refused


@counts
def test_lists_of_written_files(tmp_path, count):
    prepare_digits(tmp_path / "d", 0, 1, 1)
    path = tmp_path / "d" / own_files.MARK
    valid = json.loads(path.read_text())
    files = mutated(valid["files"]).map(lambda files: valid | {"files": files})

    def call(content):
        path.write_text(json.dumps(content))
        _older_files(tmp_path / "d")

    answered, refused = fuzz(count, files | mutated(valid), call)
    assert answered and refused


@counts
def test_settings_of_a_work_directory(tmp_path, count):
    split = SimpleNamespace(sha256="a")
    data = SimpleNamespace(train=split, val=split, classes=["x"])
    settings = run_settings(Config(dict(a=1, b=[1, 2])), data, "entry", "demo", 0, None)
    valid = {"sha256": "x", "settings": settings}
    finished = tmp_path / "work" / "finished.pth"

    def call(content):
        write_text(tmp_path / "work" / work_dir.SETTINGS, json.dumps(content))
        finished.touch()
        work_dir.begin(tmp_path / "work", settings, "mark", tmp_path / "out.pth", resume=True)

    inner = mutated(settings).map(lambda value: valid | {"settings": value})
    answered, refused = fuzz(count, inner | mutated(valid), call)
    assert answered and refused and finished.exists()
