"""Names from outside are text everywhere: in a spreadsheet, a page, a figure, on a terminal."""

import csv
import io
import re
import shutil
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from rich.console import Console

from rankdet.catalogue import State, load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.paths import configs_dir
from rankdet.report.canvas import svg
from rankdet.report.figures import draw_figures
from rankdet.report.formats import markdown, render, tex, visible
from rankdet.report.listing import entry_page, listing
from rankdet.report.names import LONGEST_NAME, printable, short, spreadsheet
from rankdet.report.page import render_page
from rankdet.report.results import read_results
from rankdet.report.search import write_table
from rankdet.report.summary import summary
from rankdet.report.tables import table_view
from tests.unit.report.synthetic import write_preset
from tests.unit.report.test_figures import words
from tests.unit.report.test_search_report import found

NOTE = get_preset("demo")
SCRIPT = "<script>alert(1)</script>"
LABELS = (
    *(r"$\frac$", "a $x^$ b", "$", r"50% & _under_ #1 {x} ~ ^ \input{/etc/passwd} $", "a|b\nc"),
    *('=HYPERLINK("http://evil")', "+1", "-1+1", "@SUM(A1)", "a\\", r"\write18{ls}", "[b]"),
    *("Ünïcode ≥ 漢字", "[red]bold[/red] [/x]", "{{7*7}}{% x %}", SCRIPT, "_hidden", "[/red]"),
    *("\x1b[31mred\x07", "x" * 2000, "-->", "]]>", "&lt;", "*star"),
)


@pytest.fixture
def labeled(tmp_path, monkeypatch):
    """Return a function: the catalogue with a label in every free text of the demo's entries."""
    place = tmp_path / "configs"
    place.mkdir()
    for name in ("published.csv", "rehearsed.csv"):
        shutil.copy(configs_dir() / name, place)
    shutil.copytree(configs_dir() / "official", place / "official")
    with (configs_dir() / "experiments.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def write(label):
        for row in rows:
            if row["entry_id"] in ("rs_atss_r50", "control_atss_r50"):
                row.update(row_label=label, detector=label, backbone=label, loss_cls=label)
        with (place / "experiments.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return load_catalogue(place)

    return write


class Shown(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text, self.scripts = set(), "", 0

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.scripts += tag == "script"

    def handle_data(self, data):
        self.text += data


def table_of(catalogue, results):
    table = catalogue.table("rank-sort-one-stage")
    states = {entry.entry_id: State("measured", True) for entry in catalogue}
    return table_view(table, catalogue, results, states, NOTE)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_text_in_every_format(labeled, tmp_path, label):
    catalogue = labeled(label)
    folder = write_preset(tmp_path)
    results = read_results(catalogue, folder, "demo")
    view = table_of(catalogue, results)
    rows = list(csv.DictReader(io.StringIO(render(view, "csv"), newline="")))
    assert rows[0]["row"].removeprefix("'") == label
    for row in rows:
        for name, text in row.items():
            assert not text.startswith(("=", "+", "-", "@", "\t", "\r")), name
    markdown_rows = [line for line in render(view, "md").splitlines() if line.startswith("|")]
    assert len(markdown_rows) == 2 + len(rows)
    page = Shown()
    text = render_page(results, [view], {}, NOTE)
    page.feed(text)
    assert page.scripts == 1 and SCRIPT not in text  # the one that sorts and filters
    assert " ".join(visible(label).split())[:40] in " ".join(page.text.split())
    assert "\x1b" not in text and "\x07" not in text
    shown = io.StringIO()
    console = Console(file=shown, width=400, highlight=False)
    states = {entry.entry_id: State("measured", True) for entry in catalogue}
    console.print(listing(catalogue, list(catalogue.tables), states))
    console.print(summary(results, [], folder, NOTE))
    entry = catalogue["rs_atss_r50"]
    console.print(
        entry_page(entry, label, catalogue.published("rs_atss_r50"), states["rs_atss_r50"])
    )
    for part in printable(label)[:30].split():
        assert part in shown.getvalue()
    assert "\x1b" not in shown.getvalue() and "\x07" not in shown.getvalue()


@pytest.mark.parametrize("label", [r"$\frac$", SCRIPT, "_hidden", "x" * 2000, "a\x1b-->\x00"])
def test_a_label_is_text_in_a_figure(labeled, tmp_path, label):
    catalogue = labeled(label.replace("\0", ""))
    results = read_results(catalogue, write_preset(tmp_path), "demo")
    figures = draw_figures(catalogue, results, NOTE)
    drawn = {name: drawing.figure() for name, drawing in figures.items()}
    for name, drawing in figures.items():
        text = svg(drawn[name], title=drawing.title, words=drawing.words)
        root = ElementTree.fromstring(text)
        (described,) = root.findall("{http://www.w3.org/2000/svg}desc")
        assert described.text == drawing.words
        assert printable(drawing.words) == drawing.words
    page = render_page(results, [], figures, NOTE)
    assert SCRIPT not in page
    inline = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(inline) == 2 * sum(not drawing.missing for drawing in figures.values())
    for text in inline:
        ElementTree.fromstring(text)
    texts = [text for figure in drawn.values() for text in words(figure).splitlines()]
    assert any(printable(label)[:30] in text for text in texts)


def test_numbers_stay_numbers_and_text_is_marked():
    for text in ("=1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "-1.5"):
        assert spreadsheet(text) == f"'{text}"
    for text in ("", "a=1", "1-2", "(0.1, 0.2)", "−1"):
        assert spreadsheet(text) == text


def test_a_difference_is_a_number_of_a_spreadsheet(tmp_path):
    from tests.unit.report.synthetic import write_result
    from tests.unit.report.test_tables import as_rows
    from tests.unit.report.test_tables import view as shown

    write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.39, data="coco")
    catalogue = load_catalogue()
    row = as_rows(shown(catalogue, "rank-sort-one-stage", tmp_path / "paper", "paper"))
    assert row["rs_atss_r50"]["AP difference"] == "-0.9"


def test_a_search_of_odd_names_is_text(tmp_path):
    content = found(("=cmd|'/c calc'!A0",), name="a|b\n" + SCRIPT, data="$x$", entry="[e]")
    write_table(content, tmp_path)
    with (tmp_path / "search.csv").open(newline="") as stream:
        assert {row[0] for row in csv.reader(stream)} == {"head", "'=cmd|'/c calc'!A0"}
    text = (tmp_path / "search.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {8}
    assert SCRIPT not in text and SCRIPT not in (tmp_path / "search.html").read_text()


def test_one_line_of_each():
    assert tex("a\n\nb * |") == r"a b {*} \textbar{}"
    assert markdown("a\r\nb\u2028c $x$ ~~d~~") == r"a b c \$x\$ \~\~d\~\~"
    assert printable("a\x1b[31m\tb\u202e") == "a[31m b"
    assert len(short("x" * 100)) == LONGEST_NAME and short("_a") == " _a"
