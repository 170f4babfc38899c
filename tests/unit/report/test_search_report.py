"""The figure and the table of a search: all numbers of found.json, the same bytes again."""

import csv
import subprocess
import sys

import pytest

from rankdet.errors import InputError
from rankdet.outputs import write_json
from rankdet.report.canvas import write_figure
from rankdet.report.search import figure_words, note, search_figure, table_rows, write_table

ROW = [0, 0, 0.2, 0.1, 0.4, 0.3, 0.6, 0.5, 0.8, 0.7, 1, 1]


def head(scale):
    return {"control_points": [ROW] * 5, "box_gradient_scale": scale}


def found(names=("retina",), **plan):
    settings = dict(name="tiny", rounds=2, samples=2, entry="pap_pap_retinanet_r50", seed=1)
    settings |= dict(preset="demo", data="digits", apply_gradient_scale=True) | plan
    heads = {name: head(2.5) for name in names}
    return {
        "plan": settings,
        "used": "best",
        "heads": heads,
        "best": {"round": 1, "sample": 0, "reward": 0.123, "heads": heads},
        "mean": {"sigma": 0.1, "heads": heads},
        "start": {name: head(1.0) for name in names},
        "published": {name: head(4.1231) for name in names},
        "rounds": [
            {"sigma": 0.2, "rewards": [0.0, 0.1], "failed": 1, "seconds": 3.0},
            {"sigma": 0.1, "rewards": [0.123, 0.11], "failed": 0, "seconds": 4.0},
        ],
    }


@pytest.mark.parametrize("names", [("retina",), ("rpn", "roi")])
def test_the_table_holds_every_function_of_every_head(names, tmp_path):
    content = found(names)
    rows = table_rows(content)
    assert len(rows) == len(names) * (5 + 1) * 4
    assert (names[0], "H2", "best sample", "(0.200, 0.100)") == rows[1][:4]
    assert [row[3] for row in rows if row[1] == "gradient scale"][:4] == [
        "1.000", "2.500", "2.500", "4.123",
    ]  # fmt: skip
    write_table(content, tmp_path)
    with (tmp_path / "search.csv").open() as stream:
        assert len(list(csv.reader(stream))) == len(rows) + 1
    assert "12.3 AP" in (tmp_path / "search.md").read_text()


def test_the_note_tells_what_counts():
    words = note(found())
    assert "1 proxies failed" in words and "not comparable" in words and "best sample" in words
    assert "not applied" in note(found(apply_gradient_scale=False))
    assert "not comparable" not in note(found(preset="paper"))


def test_the_figure_in_words_has_every_round():
    words = figure_words(found(name="a\x07b\n"))
    assert "round 0 best 10.0, mean 5.0; round 1 best 12.3, mean 11.7" in words
    assert words.isprintable() and "Best reward 12.3 AP" in words


def test_the_figure_is_the_same_bytes_again(tmp_path):
    one, two = (
        write_figure(search_figure(found(("rpn", "roi"))), tmp_path / name, "search")
        for name in ("one", "two")
    )
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_the_command_needs_no_torch(tmp_path):
    write_json(tmp_path / "found.json", found())
    code = (
        "import sys; from rankdet.cli import search as s;"
        f"s.search_report(__import__('pathlib').Path({str(tmp_path / 'found.json')!r}), None);"
        "assert not {'torch', 'mmdet', 'mmengine'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".json",
        ".svg",
        ".png",
        ".csv",
        ".md",
        ".html",
    }


def test_another_file_is_named(tmp_path):
    from rankdet.cli.search import search_report

    write_json(tmp_path / "found.json", {"plan": {}})
    with pytest.raises(InputError, match="rankdet search finish"):
        search_report(tmp_path / "found.json", None)
