"""Broken or misplaced results are refused with the file's name; partial ones are read."""

import json

import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.errors import InputError
from rankdet.report.figures import draw_figures
from rankdet.report.results import read_results, why_missing
from tests.unit.report.synthetic import write_result
from tests.unit.report.test_figures import words


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
    ("name", "text", "shown"),
    [
        ("metrics.json", "", "not JSON"),
        ("metrics.json", "[]", "another value"),
        ("metrics.json", '{"bbox": {}}', '"bbox" or "segm"'),
        ("metrics.json", '{"bbox": {"AP": 39.9}}', "numbers from 0 to 1"),
        ("metrics.json", '{"bbox": {"AP": NaN}}', "numbers from 0 to 1"),
        ("run.json", '{"preset": "paper"}', "preset demo in PATH; got 'paper'"),
        ("run.json", '{"entry": "rs_paa_r50"}', "entry rs_atss_r50 in PATH; got 'rs_paa_r50'"),
    ],
)
def test_broken_files_are_named(catalogue, place, name, text, shown):
    (place / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_results(catalogue, place.parent, "demo")
    assert shown.replace("PATH", str(place / name)) in str(error.value)
    assert str(place / name) in str(error.value)


def test_missing_folder_and_unknown_preset(catalogue, tmp_path):
    with pytest.raises(InputError, match="no folder at"):
        read_results(catalogue, tmp_path / "demo", "demo")
    with pytest.raises(InputError, match="nearest: demo"):
        get_preset("demos")


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


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("run.json", '{"seconds": "x"}', "\"seconds\" as a number of seconds; got 'x'"),
        ("run.json", '{"seconds": NaN}', '"seconds" as a number of seconds; got nan'),
        ("run.json", '{"iterations": [1]}', '"iterations" as a count'),
        ("run.json", '{"data": [1]}', '"data" as an object'),
        ("run.json", '{"machine": {"cpu": [1]}}', '"machine" as an object'),
        ("metrics.json", "[" * 100_000, "nested too deep"),
        ("metrics.json", '{"bbox": {"AP": true}}', "numbers from 0 to 1"),
    ],
)
def test_a_value_of_another_type_is_named(catalogue, place, name, text, shown):
    (place / name).write_text(text)
    with pytest.raises(InputError) as error:
        read_results(catalogue, place.parent, "demo")
    assert shown in str(error.value) and str(place / name) in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"bbox": 5}', "not an object"),
        ('{"bbox": {"recall": [0], "precision": {"mean": ["x"]}}}', "numbers from 0 to 1"),
        ('{"bbox": {"recall": [0], "precision": {"mean": [null]}}}', "numbers from 0 to 1"),
        ('{"bbox": {"recall": [0], "precision": {"mean": [NaN]}}}', "numbers from 0 to 1"),
        ('{"bbox": {"recall": [0], "precision": []}}', '"precision" that is not an object'),
        ('{"bbox": {"recall": [], "precision": {}, "LRP": [0]}}', '"LRP" without "score"'),
        ('{"bbox": {"LRP": [0], "score": [0]}}', 'no "recall"'),
        *(
            (f'{{"bbox": {{"recall": [0], "precision": {{}}, "localization": {text}}}}}', "local")
            for text in (
                "5",
                "[]",
                '{"true_positives": 1}',
                '{"true_positives": 1, "bins": {"count": [1], "score": [1], "IoU": [2]}}',
                '{"true_positives": 1, "bins": {"count": [1], "score": [1], "IoU": [null]}}',
                '{"true_positives": 1, "bins": {"count": [1], "score": [NaN], "IoU": [1]}}',
                '{"true_positives": 2, "bins": {"count": [1], "score": [1], "IoU": [1]}}',
                '{"true_positives": 1, "bins": {"count": [1.0], "score": [1], "IoU": [1]}}',
                '{"true_positives": 1, "bins": {"count": [1], "score": [], "IoU": [1]}}',
                '{"true_positives": true, "bins": {"count": [1], "score": [1], "IoU": [1]}}',
                '{"true_positives": -1, "bins": {"count": [-1], "score": [1], "IoU": [1]}}',
                '{"true_positives": 0, "pearson": 2, "bins": '
                '{"count": [], "score": [], "IoU": []}}',
                '{"true_positives": 0, "spearman": "x", "bins": '
                '{"count": [], "score": [], "IoU": []}}',
            )
        ),
    ],
)
def test_odd_curves_are_named(catalogue, place, text, message):
    (place / "curves.json").write_text(text)
    result = read_results(catalogue, place.parent, "demo")["rs_atss_r50"]
    with pytest.raises(InputError, match=message) as error:
        result.curves()
    assert str(place / "curves.json") in str(error.value)


@pytest.mark.parametrize(
    "line", ['{"iteration": 1, "loss": "x"}', "[1]", '{"iteration": Infinity}', '{"loss": 1}', "5"]
)
def test_an_odd_line_of_a_training_is_named(catalogue, place, line):
    path = place / "training.jsonl"
    result = read_results(catalogue, place.parent, "demo")["rs_atss_r50"]
    for text, number in ((f"{line}\n" + path.read_text(), 1), (path.read_text() + line, 103)):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"training\.jsonl, line {number}: "):
            result.training()
        path.write_text(text.replace(line, "").lstrip("\n"))


@pytest.mark.parametrize(
    "text", ["[]", '{"state": "missing", "reason": [1]}', '{"state": 5}', "{", '{"reason": "x"}']
)
def test_an_odd_status_of_weights_is_named(place, text):
    (place / "weights.json").write_text(text)
    with pytest.raises(InputError, match=r"weights\.json"):
        why_missing(place.parent, "rs_atss_r50")


def test_a_set_without_annotations_has_no_curves_and_stops_nothing(catalogue, place):
    """What an evaluation writes where nothing counts: nulls, and curves of no class."""
    empty = write_result(place.parent, "rs_paa_r50", "demo")
    metrics = json.loads((empty / "metrics.json").read_text())
    metrics["bbox"] = dict.fromkeys(metrics["bbox"])
    (empty / "metrics.json").write_text(json.dumps(metrics))
    (empty / "curves.json").write_text('{"bbox": {"per_class": [{"AP": null}]}}')
    found = read_results(catalogue, place.parent, "demo")
    assert found["rs_paa_r50"].curves() == {}
    figures = draw_figures(catalogue, found, get_preset("demo"))
    for name in ("precision_recall", "lrp"):
        shown = words(figures[name].figure()).replace("\n", " ")
        assert "Without curves: rs_paa_r50." in shown and "45.0" not in shown
    alone = {"rs_paa_r50": found["rs_paa_r50"]}
    shown = words(draw_figures(catalogue, alone, get_preset("demo"))["lrp"].figure())
    assert "no curves yet" in shown
