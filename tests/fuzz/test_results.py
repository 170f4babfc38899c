"""The files of a result with a few places changed: reported, or refused in one line."""

import copy
import json
import math

from hypothesis import strategies as st

from rankdet.catalogue import State, load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.report.figures import draw_figures
from rankdet.report.formats import FORMATS, render
from rankdet.report.page import overview, remarks, runs, shared
from rankdet.report.results import read_results, why_missing
from rankdet.report.run_page import Sources, render_run
from rankdet.report.search import read_found, search_figure, write_table
from rankdet.report.tables import table_view
from tests.fuzz.bounded import counts, fuzz
from tests.fuzz.test_settings import ODD, changed
from tests.unit.report.pages import class_rows
from tests.unit.report.synthetic import write_result
from tests.unit.report.test_search_report import found

NOTE = get_preset("paper")
LABELS = ("metrics.json", "run.json", "curves.json", "training.jsonl", "weights.json")
BROKEN = st.sampled_from(
    [b"", b"{", b"\xff", b"[" * 100_000, b"null", b'{"a": 1e999}', b"9" * 9999]
)


def written(document):
    return json.dumps(document).encode("utf-8", errors="replace")


def lines(rows):
    return b"".join(written(row) + b"\n" for row in rows)


@st.composite
def files(draw, originals):
    """Return the files of a result, one or two of them changed."""
    content = dict.fromkeys(LABELS)
    content["draw"] = draw(st.integers(0, 39)) == 0  # a figure takes as long as many readings
    for name in draw(st.sets(st.sampled_from(LABELS), min_size=0, max_size=2)):
        write = lines if name.endswith("jsonl") else written
        whole = changed(copy.deepcopy(originals[name])).map(
            lambda each, write=write: write(each if each is not None else {})
        )
        torn = whole.flatmap(lambda data: st.integers(0, len(data)).map(lambda end: data[:end]))
        content[name] = draw(st.one_of(whole, whole, whole, torn, BROKEN))
    return content


@counts
def test_results(tmp_path, count, monkeypatch):
    catalogue = load_catalogue()
    every = {entry.entry_id: State("no config yet", False) for entry in catalogue}
    table = catalogue.table("rank-sort-one-stage")
    states = {entry.entry_id: State("no config yet", False) for entry in table.entries}
    place = write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.4, masks=True, data="coco")
    document = json.loads((place / "metrics.json").read_text())
    document["per_class"] = {"bbox": class_rows()}
    (place / "metrics.json").write_text(json.dumps(document))
    status = {"entry": "rs_atss_r50", "state": "missing", "reason": "an HTML page"}
    (place / "weights.json").write_text(json.dumps(status))
    saved = {name: (place / name).read_bytes() for name in LABELS}
    originals = {
        name: [json.loads(line) for line in data.splitlines()[:6]]
        if name.endswith("jsonl")
        else json.loads(data)
        for name, data in saved.items()
    }

    def report(content):
        for name in LABELS:
            data = content[name]
            (place / name).write_bytes(saved[name] if data is None else data)
        reason = why_missing(place.parent, "rs_atss_r50")
        results = read_results(catalogue, place.parent, "paper")
        view = table_view(table, catalogue, results, states, NOTE)
        for form in FORMATS:
            render(view, form)
        assert len(overview(results)) >= 1 and len(runs(results)) == 1
        assert isinstance(reason, str) and isinstance(remarks(results, NOTE), list)
        records = [result.run for result in results.values()]
        shared(records, "machine"), shared(records, "versions")
        (result,) = results.values()
        for row in result.training():
            assert math.isfinite(row["iteration"])
        result.curves()
        monkeypatch.setattr("rankdet.report.run_page._figures", lambda *_: [])
        page = render_run(result.first, result, Sources(NOTE, catalogue, every))
        assert page.endswith("</html>\n")
        if content["draw"]:
            for narrow in (False, True):
                for drawing in draw_figures(catalogue, results, NOTE).values():
                    drawing.figure(narrow=narrow)  # laid out, which draws it

    tried = fuzz(count, files(originals), report)
    assert min(tried) >= count // 100, tried


def test_odd_values_reach_the_files():
    """The strategy of the values is one of JSON and of YAML."""
    seen = []
    fuzz(100, ODD, seen.append)
    assert {type(value) for value in seen} >= {str, int, float, list, bool, type(None)}


@counts
def test_a_search(tmp_path, count):
    path = tmp_path / "found.json"

    def report(data):
        path.write_bytes(data)
        content = read_found(path)
        write_table(content, tmp_path)
        if content["plan"]["seed"] == 1:
            search_figure(content)

    whole = changed(found(("rpn", "roi"))).map(written)
    tried = fuzz(count, st.one_of(whole, whole, whole, BROKEN), report)
    assert min(tried) >= count // 100, tried
