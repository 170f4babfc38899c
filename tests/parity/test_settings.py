"""Every setting of every row's resolved config is the one of ``expected/settings.csv``."""

import csv
import io

import pytest

from tests.parity import settings
from tests.parity.rows import WITH_CONFIG, by_id, paper

LINES = settings.read()
WANTED = settings.expected(LINES)


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_settings(entry):
    found = settings.found(entry.entry_id)
    assert not settings.differing(found, WANTED[entry.entry_id]), entry.entry_id


@pytest.mark.parametrize("entry", WITH_CONFIG, ids=by_id)
def test_no_setting_stands_under_a_name_that_nothing_reads(entry):
    """``custom_hook`` for ``custom_hooks`` would change nothing, and nobody would be told."""
    known = {*settings.READ, *settings.REPLACED, *settings.VARIABLES}
    assert set(paper(entry.entry_id)) <= known


def test_every_line_is_of_a_row_and_has_a_source():
    names = {entry.entry_id: None for entry in WITH_CONFIG}
    for line in LINES:
        assert settings.matched(line["rows"], names), line
        assert len(line["source"]) > 4, line


def test_the_table_says_what_a_change_of_it_is():
    text = settings.TABLE.read_text()
    assert "A CHANGE HERE IS A CHANGE OF THE EXPERIMENT" in text.split("path,value")[0]


def test_the_written_table_is_the_read_one():
    """The command changes nothing where nothing differs, and gives no line another source."""
    written = csv.DictReader(io.StringIO(settings.table("new").removeprefix(settings.HEADER)))
    assert list(written) == LINES


def test_leaves_of_a_config():
    config = dict(
        a=dict(x=(1, 2.5), y=[dict(z=None), dict()], _scope_="mmdet"),
        dataset=dict(pipeline=[dict(type="Flip", prob=0.5, _scope_="mmdet"), dict(type="Pack")]),
    )
    found = dict(leaf for key in config for leaf in settings.leaves(key, config[key]))
    assert found == {
        "a.x": "[1, 2.5]",
        "a.y.0.z": "None",
        "a.y.1": "()",
        "dataset.pipeline.0": "Flip(prob=0.5)",
        "dataset.pipeline.1": "Pack()",
    }
