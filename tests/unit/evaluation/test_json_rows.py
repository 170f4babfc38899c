"""Reading block by block gives what reading as a whole gives."""

import gzip
import json

import pytest

from rankdet.errors import InputError
from rankdet.evaluation import reading
from rankdet.evaluation.reading import read_document, read_rows

ROWS = [{"id": i, "mask": {"size": [1, i]}, "score": 0.5} for i in range(50)]


@pytest.mark.parametrize("block", [7, 40, 200, 10_000])
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (",", ":")}])
def test_blocks_join_to_the_whole(tmp_path, monkeypatch, block, style):
    monkeypatch.setattr(reading, "BLOCK_CHARACTERS", block)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS, **style))
    blocks = list(read_rows(path, "rows"))
    assert [row for each in blocks for row in each] == ROWS
    if block == 200 and not style:
        assert len(blocks) > 5


@pytest.mark.parametrize("block", [7, 40, 200])
def test_text_that_looks_like_a_seam(tmp_path, monkeypatch, block):
    monkeypatch.setattr(reading, "BLOCK_CHARACTERS", block)
    rows = [{"id": i, "text": "}, {" * (i % 3)} for i in range(50)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    assert [row for each in read_rows(path, "rows") for row in each] == rows


def test_rows_of_nested_objects(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_CHARACTERS", 30)
    rows = [{"parts": [{"a": 1}, {"b": 2}, {"c": 3}]}] * 9
    path = tmp_path / "rows.json.gz"
    with gzip.open(path, "wt") as stream:
        json.dump(rows, stream)
    assert [row for block in read_rows(path, "rows") for row in block] == rows


def test_a_torn_file_fails_even_after_good_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "BLOCK_CHARACTERS", 100)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS)[:-20])
    with pytest.raises(InputError, match="which is not JSON"):
        list(read_rows(path, "rows"))


def test_a_torn_archive(tmp_path):
    path = tmp_path / "rows.json.gz"
    path.write_bytes(gzip.compress(json.dumps(ROWS).encode())[:-12])
    with pytest.raises(InputError, match="which is not JSON"):
        read_document(path, "rows")
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match="which is not JSON"):
        list(read_rows(path, "rows"))
