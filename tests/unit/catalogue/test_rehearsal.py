"""Rehearsals: what passed, at which code, and what a row may call itself."""

import json

import pytest
from typer.testing import CliRunner

from rankdet.catalogue import entry_state, load_catalogue, state
from rankdet.catalogue.state import (
    Rehearsal,
    record_rehearsals,
    recorded_rehearsals,
    rehearsals_of,
)
from rankdet.cli import report  # noqa: F401 (registers the verb)
from rankdet.cli.app import app
from rankdet.errors import InputError

ROW = "rs_atss_r50"


@pytest.fixture
def entry():
    return load_catalogue()[ROW]


@pytest.fixture(autouse=True)
def no_record(monkeypatch):
    monkeypatch.setattr(state, "recorded_rehearsals", lambda: [])


def rehearsed(results, entry, identity, measured=True):
    folder = results / "rehearsal" / entry.entry_id
    folder.mkdir(parents=True)
    record = dict(code=identity, iterations=2, seconds=9.5, processes=1, passes=4)
    (folder / "run.json").write_text(json.dumps(record))
    if measured:
        (folder / "metrics.json").write_text("{}")


def test_a_row_runs_only_after_a_rehearsal_at_this_code(tmp_path, entry):
    assert entry_state(entry, tmp_path).label == "not rehearsed with this code"
    rehearsed(tmp_path, entry, state.code_identity(entry))
    found = entry_state(entry, tmp_path)
    assert (found.label, found.is_rehearsed, found.measured) == ("runnable", True, ())


@pytest.mark.parametrize(("identity", "measured"), [("0" * 16, True), (None, False)])
def test_other_code_or_no_evaluation_does_not_count(tmp_path, entry, identity, measured):
    rehearsed(tmp_path, entry, identity or state.code_identity(entry), measured)
    assert not entry_state(entry, tmp_path).is_rehearsed


def test_a_record_counts_in_a_fresh_clone(tmp_path, entry, monkeypatch):
    passed = [Rehearsal(ROW, state.code_identity(entry), 2, 9.5, 1, 4)]
    path = record_rehearsals(passed, tmp_path / "rehearsed.csv")
    assert recorded_rehearsals(path) == passed
    monkeypatch.setattr(state, "recorded_rehearsals", lambda: recorded_rehearsals(path))
    assert entry_state(entry, tmp_path / "nowhere").label == "runnable"


def test_a_damaged_record_is_named(tmp_path):
    path = tmp_path / "rehearsed.csv"
    path.write_text("entry,code\nrs_atss_r50,1\n")
    with pytest.raises(InputError, match=r"rehearsed\.csv"):
        recorded_rehearsals(path)
    assert recorded_rehearsals(tmp_path / "none.csv") == []


def test_a_changed_config_or_module_is_other_code(tmp_path, entry, monkeypatch):
    before = state.code_identity(entry)
    assert before == state.code_identity(load_catalogue()[ROW])
    assert before != state.code_identity(load_catalogue()["rs_paa_r50"])
    room = tmp_path / "losses"
    room.mkdir()
    presets = tmp_path / "catalogue" / "preset_table.py"
    presets.parent.mkdir()
    (room / "ap.py").write_text("delta = 1")
    presets.write_text("epochs = 2")
    presets.with_name("presets.py").write_text("")
    monkeypatch.setattr(state, "PACKAGE", tmp_path)
    found = []
    for path in (presets, room / "ap.py", None):
        state._package_identity.cache_clear()
        found.append(state.code_identity(entry))
        if path:
            path.write_text("other = 2")
    assert len(set(found)) == 3
    state._package_identity.cache_clear()


def test_the_command_names_what_did_not_pass(tmp_path, entry):
    rehearsed(tmp_path, entry, state.code_identity(entry))
    rehearsed(tmp_path, load_catalogue()["rs_paa_r50"], "0" * 16)
    shown = CliRunner().invoke(app, ["report", "rehearsal", "--results", str(tmp_path)])
    assert shown.exit_code == 1
    assert "rs_paa_r50: passed with other code" in shown.stdout
    assert "rs_frcnn_r50: did not finish" in shown.stdout
    assert "1 of 77 rows rehearsed with this code" in shown.stdout
    assert [each.entry for each in rehearsals_of(tmp_path, load_catalogue())] == sorted(
        [ROW, "rs_paa_r50"], key=[e.entry_id for e in load_catalogue()].index
    )
