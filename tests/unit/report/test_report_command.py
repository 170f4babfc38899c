"""``rankdet report`` end to end on synthetic results."""

import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from rankdet.cli import report as report_module  # noqa: F401 - registers the verbs
from rankdet.cli.app import app
from rankdet.errors import InputError
from rankdet.times import duration
from tests.unit.report.synthetic import DEMO_ENTRIES, write_preset, write_result


@pytest.fixture
def demo(tmp_path):
    return write_preset(tmp_path / "results")


def call(*arguments: object):
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


class Page(HTMLParser):
    """Collects ids, link targets and anything that would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a" and values["href"].startswith("#"):
            self.anchors.append(values["href"][1:])
        if "src" in values or tag == "link":
            self.loaded.append(tag)


def test_page_is_self_contained(demo):
    call("html", "--preset", "demo", "--results", demo)
    text = (demo / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.loaded == []
    assert "@import" not in text
    assert len(page.ids) == len(set(page.ids))
    assert set(page.anchors) <= set(page.ids)
    assert text.count("<svg") == 2 * 8  # two widths of each; nothing is comparable in the demo
    assert "Published and reproduced AP: not shown, preset demo is not comparable" in text
    for described in re.findall(r'aria-describedby="([^"]+)"', text):
        assert described in page.ids
    assert text.count('role="img"') == text.count("<svg")
    for words in (
        "digits set",
        "prefers-color-scheme: dark",
        "An invented processor",
        *DEMO_ENTRIES,
    ):
        assert words in text
    assert "Nothing on this page is comparable with published figures." in text


def test_page_is_the_same_on_a_second_run(demo, tmp_path):
    for name in ("one.html", "two.html"):
        call("html", "--preset", "demo", "--results", demo, "--out", tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_tables_and_the_entries_filter(demo, tmp_path):
    call("tables", "--preset", "demo", "--results", demo, "--table", "rank-sort-one-stage")
    names = sorted(path.name for path in (demo / "tables").iterdir())
    assert names == [f"rank-sort-one-stage.{form}" for form in ("csv", "html", "md", "tex")]
    out = tmp_path / "chosen"
    call("tables", "--preset", "demo", "--results", demo, "--out", out, "--entries", "rs_atss_r50")
    assert {path.stem for path in out.iterdir()} == {"rank-sort-one-stage"}
    assert "rs_paa_r50" not in (out / "rank-sort-one-stage.csv").read_text()


def test_summary_names_figures_gaps_and_places(demo):
    call("html", "--no-runs", "--preset", "demo", "--results", demo)
    chosen = ",".join([*DEMO_ENTRIES, "rs_paa_r50"])
    shown = call("summary", "--preset", "demo", "--results", demo, "--entries", chosen)
    assert re.search(r"rs_atss_r50 +ATSS +■ Rank & Sort +45\.0 +55\.0 +42 s", shown)
    assert "without a result: rs_paa_r50" in shown
    assert str(demo / "report.html") in shown.replace("\n", "")
    assert shown.count("not written yet") == 2  # tables and figures


def test_summary_of_nothing(tmp_path):
    (tmp_path / "demo").mkdir()
    shown = call("summary", "--preset", "demo", "--results", tmp_path / "demo")
    assert "no results yet" in shown


def test_partial_results_still_make_a_page(tmp_path):
    place = write_result(tmp_path / "mini", "rs_mask_r50", "mini", masks=True)
    for name in ("run.json", "curves.json", "training.jsonl"):
        (place / name).unlink()
    call("html", "--preset", "mini", "--results", tmp_path / "mini")
    text = (tmp_path / "mini" / "report.html").read_text()
    assert "not shown, no curves yet" in text and "not shown, no training record yet" in text
    assert "rs_mask_r50" in text


@pytest.mark.parametrize("verb", ["tables", "figures", "html", "summary", "cards", "crate"])
def test_mistakes_leave_nothing_behind(tmp_path, verb):
    with pytest.raises(InputError, match="no folder at"):
        call(verb, "--preset", "demo", "--results", tmp_path / "none")
    with pytest.raises(InputError, match="nearest: demo"):
        call(verb, "--preset", "dmo", "--results", tmp_path)
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    (place / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"metrics\.json"):
        call(verb, "--preset", "demo", "--results", tmp_path / "demo")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["rs_atss_r50"]


def test_durations():
    assert [duration(seconds) for seconds in (None, 9.4, 170.3, 11105)] == [
        *("—", "9 s", "2 min 50 s", "3 h 05 min")
    ]


def test_missing_records_are_named(demo):
    said = [f"{name} is missing" for name in ("run.json", "training.jsonl")]
    lost = demo / DEMO_ENTRIES[0]
    call("html", "--no-runs", "--preset", "demo", "--results", demo)
    whole = call("summary", "--preset", "demo", "--results", demo)
    whole += (demo / "report.html").read_text()
    for name in ("run.json", "training.jsonl"):
        (lost / name).unlink()
    call("html", "--no-runs", "--preset", "demo", "--results", demo)
    shown = call("summary", "--preset", "demo", "--results", demo)
    page = (demo / "report.html").read_text()
    for words in said:
        assert words not in whole
        assert f"{lost.name}: {words}" in shown and f"{lost.name}: {words}" in page


def test_several_seeds_are_shown_with_their_deviation_and_number(tmp_path):
    folder = tmp_path / "demo"
    for seed, ap in enumerate((0.4, 0.42, 0.41)):
        write_result(folder, "rs_atss_r50", "demo", ap, seed=seed, several=True)
    write_result(folder, "control_atss_r50", "demo", 0.3)
    call("html", "--preset", "demo", "--results", folder)
    text = re.sub(r"<[^>]+>", " ", (folder / "report.html").read_text())
    words = " ".join(text.split())
    assert "Rank &amp; Sort 41.0 ± 1.0 " in words  # the summary
    assert "AP 41.0 ± 1.0 (3 runs)" in words  # the figure in words
    summary = " ".join(call("summary", "--preset", "demo", "--results", folder).split())
    assert "41.0 ± 1.0 59.0 ± 1.0 3 42 s" in summary and "30.0 70.0 1 42 s" in summary
    for seed in range(3):
        assert (folder / "rs_atss_r50" / f"seed-{seed}" / "run.html").is_file()
