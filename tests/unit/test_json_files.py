"""JSON is read in one place: what is accepted, and one line with a remedy for everything else."""

import gzip
import itertools
import json
import os
import threading

import pytest

from rankdet import files
from rankdet.errors import InputError
from rankdet.evaluation.reading import read_document, read_rows
from rankdet.files import read_json

ROWS = [{"id": 1, "name": "naïve 中"}, {"id": 2}]


def rows_of(path):
    return [row for block in read_rows(path, "rows") for row in block]


WAYS = {"read_json": read_json, "document": lambda p: read_document(p, "rows"), "rows": rows_of}


@pytest.fixture(params=WAYS)
def read(request):
    return WAYS[request.param]


def refusal(read, path):
    with pytest.raises(InputError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1000
    return text


TEXT = json.dumps(ROWS, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.json", TEXT),
        ("mark.json", b"\xef\xbb\xbf" + TEXT),
        ("packed.json.gz", gzip.compress(TEXT, mtime=0)),
        ("packed and renamed.json", gzip.compress(TEXT, mtime=0)),
        ("unpacked by a browser.json.gz", TEXT),
        (
            "two members.json.gz",
            gzip.compress(TEXT[:30], mtime=0) + gzip.compress(TEXT[30:], mtime=0),
        ),
        ("mark.json.gz", gzip.compress(b"\xef\xbb\xbf" + TEXT, mtime=0)),
        ("windows.json", json.dumps(ROWS, indent=1).replace("\n", "\r\n").encode()),
        ("keys twice.json", TEXT.replace(b'{"id": 2}', b'{"id": 7, "id": 2}')),
    ],
)
def test_what_is_read(tmp_path, read, name, content):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path / name) == ROWS


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_characters_across_parts(tmp_path, monkeypatch, size):
    monkeypatch.setattr(files, "_PART", size)
    path = tmp_path / "rows.json"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT)
    assert read_json(path) == ROWS


def test_a_pipe(tmp_path, read):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(TEXT,))
    writer.start()
    assert read(path) == ROWS
    writer.join()


DAMAGED = bytearray(gzip.compress(TEXT * 20, mtime=0))
DAMAGED[len(DAMAGED) // 2] ^= 0xFF
DAMAGED[len(DAMAGED) // 2 + 3] ^= 0x5A


@pytest.mark.parametrize(
    ("content", "problem", "fix"),
    [
        (b"", "not JSON (it is empty)", "write it again"),
        (b" \n", "it is empty", "write it again"),
        (b"\xef\xbb\xbf", "it is empty", "write it again"),
        (TEXT[:-4], "not JSON", "write it again"),
        (b"image_id,score\n1,0.5", "not JSON", "write it again"),
        (TEXT + b"]", "not JSON", "write it again"),
        (json.dumps(ROWS).encode("utf-16"), "UTF-16", "save it as UTF-8"),
        (json.dumps(ROWS).encode("utf-16-le"), "UTF-16", "save it as UTF-8"),
        (json.dumps(ROWS).encode("utf-32-be"), "UTF-16", "save it as UTF-8"),
        ('[{"name": "naïve"}]'.encode("latin-1"), "not UTF-8", "save it as UTF-8"),
        (TEXT[:20] + b'"\xe4', "not UTF-8", "save it as UTF-8"),
        (b"[" * 100_000, "nested too deeply", "not a file of this kind"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply", "not a file of this kind"),
        (
            b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000,
            "nested too deeply",
            "not a file of this kind",
        ),
        (b'[{"id": ' + b"1" * 5000 + b"}]", "too many digits", "how it was written"),
        (b'[{"id": -' + b"1" * 5000 + b"}]", "too many digits", "how it was written"),
        (gzip.compress(TEXT, mtime=0)[:-12], "damaged gzip data", "copy or compress it again"),
        (gzip.compress(TEXT, mtime=0)[:5], "damaged gzip data", "copy or compress it again"),
        (bytes(DAMAGED), "damaged gzip data", "copy or compress it again"),
        (b"\x1f\x8b no archive", "damaged gzip data", "copy or compress it again"),
        (gzip.compress(TEXT, mtime=0) + b"rest", "damaged gzip data", "copy or compress it again"),
        (gzip.compress(b"", mtime=0), "it is empty", "write it again"),
    ],
    ids=itertools.count(),
)
def test_content(tmp_path, read, content, problem, fix):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    text = refusal(read, path)
    assert str(path) in text and text.endswith(fix)
    assert problem in text


def test_places(tmp_path, read):
    assert "which is a folder; give the file in it" in refusal(read, tmp_path)
    for name in ("absent.json", "a\0b", "rows.json/below"):
        (tmp_path / "rows.json").write_text("[]")
        assert "no file at" in refusal(read, tmp_path / name)
    assert "no file at '" in refusal(read, tmp_path / "two\nlines")
    assert "cannot be read (File name too long)" in refusal(read, tmp_path / ("x" * 300))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be read" in refusal(read, tmp_path / "loop")


def test_permissions(tmp_path, monkeypatch, read):
    # As root every file may be read.
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "rows.json"
    path.write_text("[]")
    monkeypatch.setattr(files, "open", refuse, raising=False)
    assert "you have no permission to read; change its permissions" in refusal(read, path)


def test_memory(tmp_path, monkeypatch, read):
    def fail(*arguments):
        raise MemoryError

    path = tmp_path / "rows.json"
    path.write_text("[]")
    monkeypatch.setattr(json, "loads", fail)
    assert "does not fit into memory" in refusal(read, path)


def test_what_unpacks_to_far_more_is_refused(tmp_path, monkeypatch, read):
    monkeypatch.setattr(files, "_UNPACKED_AT_LEAST", 1 << 20)
    path = tmp_path / "rows.json.gz"
    path.write_bytes(gzip.compress(b"[" + b" " * (1 << 23) + b"]", 9))
    assert "decompresses to more than 250 times its size" in refusal(read, path)
    # Repetitive, but what a program writes.
    path.write_bytes(gzip.compress(json.dumps(ROWS * 40_000).encode(), 1))
    assert read(path) == ROWS * 40_000


def test_special_numbers_are_left_to_who_reads_the_field(tmp_path, read):
    path = tmp_path / "rows.json"
    path.write_text('[{"id": 1e400, "score": NaN, "other": -Infinity}]')
    row = read(path)[0]
    assert row["id"] == float("inf") and row["score"] != row["score"]


def test_one_long_row_costs_no_square_of_its_length(tmp_path, monkeypatch):
    monkeypatch.setattr("rankdet.evaluation.reading.BLOCK_CHARACTERS", 16)
    rows = [{"counts": [0] * 200_000}, {"counts": [1]}]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    reads = []
    monkeypatch.setattr(
        files.JsonText,
        "read",
        lambda self, size, real=files.JsonText.read: reads.append(size) or real(self, size),
    )
    assert rows_of(path) == rows
    assert len(reads) < 40
