"""Broken or misplaced results are refused with the file's name; partial ones are read."""

import json

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.errors import InputError
from rankdet.report.presets import NOTES, preset_note
from rankdet.report.results import read_results
from tests.unit.report.synthetic import write_result


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture
def place(tmp_path):
    return write_result(tmp_path / "demo", "rs_atss_r50", "demo")


def test_only_finished_entries_are_read(catalogue, place):
    (place.parent / "tables").mkdir()
    (place.parent / "rs_paa_r50").mkdir()  # still training
    found = read_results(catalogue, place.parent, "demo")
    assert list(found) == ["rs_atss_r50"]
    assert found["rs_atss_r50"].metric("bbox", "AP") == 40.0
    assert found["rs_atss_r50"].metric("bbox", "APl") is None
    assert found["rs_atss_r50"].metric("segm", "AP") is None


def test_entries_can_be_chosen(catalogue, place):
    assert read_results(catalogue, place.parent, "demo", ["rs_paa_r50"]) == {}
    with pytest.raises(InputError, match="nearest: rs_atss_r50"):
        read_results(catalogue, place.parent, "demo", ["rs_ats_r50"])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("metrics.json", "", "not JSON"),
        ("metrics.json", "[]", "another value"),
        ("metrics.json", '{"bbox": {}}', '"bbox" or "segm"'),
        ("metrics.json", '{"bbox": {"AP": 39.9}}', "numbers from 0 to 1"),
        ("metrics.json", '{"bbox": {"AP": NaN}}', "numbers from 0 to 1"),
        ("run.json", '{"preset": "paper"}', "of preset demo; got 'paper'"),
        ("run.json", '{"entry": "rs_paa_r50"}', "of entry rs_atss_r50; got 'rs_paa_r50'"),
    ],
)
def test_broken_files_are_named(catalogue, place, name, text, words):
    (place / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_results(catalogue, place.parent, "demo")
    assert words in str(error.value)
    assert str(place / name) in str(error.value)


def test_missing_folder_and_unknown_preset(catalogue, tmp_path):
    with pytest.raises(InputError, match="no folder at"):
        read_results(catalogue, tmp_path / "demo", "demo")
    with pytest.raises(InputError, match="nearest: demo"):
        preset_note("demos")


def test_training_record_with_a_torn_end(catalogue, place):
    path = place / "training.jsonl"
    whole = path.read_text()
    result = read_results(catalogue, place.parent, "demo")["rs_atss_r50"]
    path.write_text(whole + '{"iteration": 101, "lo')
    assert len(result.training()) == 102
    path.write_text('{"iteration": 1, "lo\n' + whole)
    with pytest.raises(InputError, match=r"training\.jsonl, line 1"):
        result.training()
    path.unlink()
    assert result.training() == []


def test_curves_without_recall_are_refused(catalogue, place):
    result = read_results(catalogue, place.parent, "demo")["rs_atss_r50"]
    assert len(result.curves()["recall"]) == 101
    (place / "curves.json").write_text(json.dumps({"bbox": {"precision": {}}}))
    with pytest.raises(InputError, match='"recall"'):
        result.curves()
    (place / "curves.json").unlink()
    assert result.curves() == {}


def test_notes_agree_with_the_presets_of_training():
    presets = pytest.importorskip("rankdet.training.presets").PRESETS
    assert presets.keys() == NOTES.keys()
    for name, preset in presets.items():
        assert NOTES[name].is_comparable == preset.comparable
