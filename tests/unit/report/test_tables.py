"""Tables: published layout, four formats, and no difference where none may be given."""

import csv
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from rankdet.catalogue import State, load_catalogue
from rankdet.catalogue.presets import PRESETS, get_preset
from rankdet.errors import InputError
from rankdet.report.figures import draw_figures
from rankdet.report.formats import FORMATS, render, tex, write_table
from rankdet.report.page import remarks
from rankdet.report.results import read_results
from rankdet.report.tables import table_view
from rankdet.report.verdicts import signed
from tests.unit.report.synthetic import data_record, write_preset, write_result


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


def view(catalogue, slug, folder, preset):
    results = read_results(catalogue, folder, preset)
    table = catalogue.table(slug)
    states = {entry.entry_id: State("no config yet", False) for entry in table.entries}
    return table_view(table, catalogue, results, states, get_preset(preset))


def as_rows(shown) -> dict[str, dict[str, str]]:
    return {row["entry"]: row for row in csv.DictReader(io.StringIO(render(shown, "csv")))}


def test_published_layout_and_missing_rows(catalogue, tmp_path):
    shown = view(catalogue, "rank-sort-one-stage", write_preset(tmp_path), "demo")
    rows = as_rows(shown)
    assert list(rows) == ["rs_atss_r50", "rs_paa_r50"]
    measured = rows["rs_atss_r50"]
    assert (measured["AP published"], measured["oLRP published"]) == ("39.9", "67.9")
    assert (measured["AP measured"], measured["oLRP measured"]) == ("45.0", "55.0")
    missing = rows["rs_paa_r50"]
    assert (missing["AP published"], missing["AP measured"]) == ("41.0", "")
    assert missing["status"] == "no config yet"
    assert "| — |" in render(shown, "md")


@pytest.mark.parametrize(
    "preset", [name for name, note in PRESETS.items() if not note.is_comparable]
)
def test_no_preset_but_paper_carries_a_difference(catalogue, tmp_path, preset):
    folder = write_preset(tmp_path, preset)
    for slug in ("rank-sort-one-stage", "alrp-retinanet", "control"):
        shown = view(catalogue, slug, folder, preset)
        assert not any(column.kind == "difference" for column in shown.columns)
        reason = f"not comparable: {PRESETS[preset].not_comparable}"
        for row in shown.rows:
            assert (row.cells[-1] == reason) == row.has_result
        for form in FORMATS:
            text = render(shown, form)
            assert "Δ" not in text
            assert "Delta" not in text
            assert 'difference"' not in text
            assert "not comparable" in text


def test_paper_carries_difference_and_verdict(catalogue, tmp_path):
    folder = tmp_path / "paper"
    write_result(folder, "rs_atss_r50", "paper", 0.39649, data="coco")
    write_result(folder, "rs_paa_r50", "paper", 0.4049, data="coco")
    rows = as_rows(view(catalogue, "rank-sort-one-stage", folder, "paper"))
    # 39.649 is printed as 39.6, and 39.6 - 39.9 is what a reader of both figures sees.
    assert rows["rs_atss_r50"]["AP measured"] == "39.6"
    assert rows["rs_atss_r50"]["AP difference"] == "-0.3"
    assert rows["rs_atss_r50"]["status"] == "inconclusive: AP needs 14 more runs"
    assert rows["rs_paa_r50"]["AP difference"] == "-0.5"
    assert rows["rs_paa_r50"]["status"] == "not reproduced: AP −0.5"


@pytest.mark.parametrize(
    ("value", "printed"),
    [(None, "—"), (0.0, "0.0"), (0.3, "+0.3"), (-0.3, "−0.3"), (12.04, "+12.0"), (-0.5, "−0.5")],
)
def test_a_difference_has_its_sign(value, printed):
    """Also the plus, and a true minus: a reader must not take a gain for a figure."""
    assert signed(value) == printed


def test_signs_stand_in_the_tables(catalogue, tmp_path):
    folder = tmp_path / "paper"
    write_result(folder, "rs_atss_r50", "paper", 0.4031, data="coco")  # published 39.9
    write_result(folder, "rs_paa_r50", "paper", 0.4049, data="coco")  # published 41.0
    shown = view(catalogue, "rank-sort-one-stage", folder, "paper")
    cells = {row.entry_id: row.cells for row in shown.rows}
    names = [f"{column.group} {column.name}" for column in shown.columns]
    assert cells["rs_atss_r50"][names.index("AP Δ")] == "+0.4"
    assert cells["rs_paa_r50"][names.index("AP Δ")] == "−0.5"
    assert "+0.4" in render(shown, "md") and "−0.5" in render(shown, "html")
    rows = as_rows(shown)
    # oLRP is better when it is lower: the sign is that of the number, not of the quality.
    expected = round(round(100 - 40.31, 1) - 67.9, 1)
    assert float(rows["rs_atss_r50"]["oLRP difference"]) == expected < 0


@pytest.mark.parametrize(
    ("measured_ap", "difference"),
    # Published 39.9. Both are rounded as printed before they are compared.
    [(0.39551, -0.3), (0.39549, -0.4), (0.40249, 0.3), (0.40251, 0.4), (0.39949, 0.0)],
)
def test_a_difference_is_of_the_printed_figures(catalogue, tmp_path, measured_ap, difference):
    folder = tmp_path / "paper"
    write_result(folder, "rs_atss_r50", "paper", measured_ap, data="coco")
    row = as_rows(view(catalogue, "rank-sort-one-stage", folder, "paper"))["rs_atss_r50"]
    assert float(row["AP difference"]) == difference


@pytest.mark.parametrize("preset", ["demo", "paper"])
def test_several_seeds_have_mean_deviation_and_number(catalogue, tmp_path, preset):
    folder, data = tmp_path / preset, {"demo": "digits", "paper": "coco"}[preset]
    for seed, ap in enumerate((0.397, 0.399, 0.402)):
        write_result(folder, "rs_atss_r50", preset, ap, data=data, seed=seed, several=True)
    write_result(folder, "rs_paa_r50", preset, 0.41, data=data)
    shown = view(catalogue, "rank-sort-one-stage", folder, preset)
    rows = as_rows(shown)
    three, one = rows["rs_atss_r50"], rows["rs_paa_r50"]
    assert three["AP measured"] == "39.9"  # 39.933
    assert three["AP deviation"] == "0.25"  # sqrt((0.233² + 0.033² + 0.267²) / 2)
    assert (three["runs"], one["runs"]) == ("3", "1")
    assert (one["AP measured"], one["AP deviation"]) == ("41.0", "")
    assert any("standard deviation" in note for note in shown.notes)
    if preset == "paper":
        assert three["AP difference"] == "0.0"
        assert three["status"] == one["status"] == "reproduced"
    for form in FORMATS:
        assert "0.25" in render(shown, form)


def test_one_seed_adds_no_columns(catalogue, tmp_path):
    shown = view(catalogue, "rank-sort-one-stage", write_preset(tmp_path), "demo")
    assert not {column.kind for column in shown.columns} & {"spread", "runs"}


@pytest.mark.parametrize(
    ("data", "keep_run", "words"),
    [
        ("digits", True, "data: 300 images, 10 classes, not COCO 2017"),
        ("lvis", True, "data: 19809 images, 1203 classes, not COCO 2017"),
        ("coco", False, "no run.json"),
    ],
)
def test_paper_on_other_or_unknown_data_is_not_comparable(
    catalogue, tmp_path, data, keep_run, words
):
    place = write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.4, data=data)
    if not keep_run:
        (place / "run.json").unlink()
    row = as_rows(view(catalogue, "rank-sort-one-stage", tmp_path / "paper", "paper"))[
        "rs_atss_r50"
    ]
    assert row["status"] == f"not comparable: {words}"
    assert row["AP difference"] == ""


OLDER = {"name": "coco", "train_sha256": "a", "val_sha256": "b"}


@pytest.mark.parametrize(
    ("preset", "change", "words"),
    [
        # A small set of one's own under its default name.
        ("paper", dict(val_images=2, categories=2), "data: 2 images, 2 classes, not COCO 2017"),
        ("paper", dict(train_images=2), "train split of 2 images, 860001 annotations, not COCO"),
        ("paper", dict(val_annotations=36780), "val split of 5000 images, 36780 annotations, not"),
        ("paper", dict(categories_sha256="x"), "80 classes of other names or ids, not COCO 2017"),
        ("paper", OLDER, "does not describe the data (written by an older version: train again)"),
        ("paper", {}, "does not describe the data (written by an older version: train again)"),
        ("published", OLDER, "does not describe the data (written by an older version: convert"),
        ("published", dict(val_images=2), "data: 2 images, 80 classes, not COCO 2017"),
    ],
)
def test_no_name_of_a_data_set_makes_a_row_comparable(catalogue, tmp_path, preset, change, words):
    place = write_result(tmp_path / preset, "ext_br_rs_frcnn_r50", preset, 0.9, data="coco")
    run = json.loads((place / "run.json").read_text())
    run["data"] = change if change in (OLDER, {}) else data_record("coco") | change
    (place / "run.json").write_text(json.dumps(run))
    row = as_rows(view(catalogue, "bucketed-faster-rcnn", tmp_path / preset, preset))
    row = row["ext_br_rs_frcnn_r50"]
    assert row["status"].startswith("not comparable: ") and words in row["status"]
    assert row["AP difference"] == row["s / iteration measured"] == ""
    found = read_results(catalogue, tmp_path / preset, preset)
    assert words in " ".join(remarks(found, get_preset(preset)))
    assert not draw_figures(catalogue, found, get_preset(preset))["ap"].figure().axes[0].lines


def test_published_weights_need_no_record_of_a_training(catalogue, tmp_path):
    place = write_result(tmp_path / "published", "rs_atss_r50", "published", 0.399, data="coco")
    run = json.loads((place / "run.json").read_text())
    run["data"] = {key: v for key, v in run["data"].items() if not key.startswith("train_")}
    (place / "run.json").write_text(json.dumps(run))
    row = as_rows(view(catalogue, "rank-sort-one-stage", tmp_path / "published", "published"))
    # No training here: there is no run-to-run variation.
    assert row["rs_atss_r50"]["status"] == "reproduced"


def test_masks_test_dev_times_and_empty_cells(catalogue, tmp_path):
    folder = tmp_path / "paper"
    write_result(folder, "rs_mask_r50", "paper", 0.4, masks=True, data="coco")
    write_result(folder, "ext_br_rs_frcnn_r50", "paper", 0.4, data="coco")
    masks = as_rows(view(catalogue, "rank-sort-mask-rcnn-coco", folder, "paper"))["rs_mask_r50"]
    assert (masks["box AP measured"], masks["mask AP measured"]) == ("40.0", "36.0")
    test_dev = view(catalogue, "alrp-ap-main", folder, "paper")
    assert [c.name for c in test_dev.columns if "test-dev" in c.group] == ["published"]
    timed = as_rows(view(catalogue, "bucketed-faster-rcnn", folder, "paper"))
    assert timed["ext_br_rs_frcnn_r50"]["s / iteration published"] == "0.58"
    assert timed["ext_br_rs_frcnn_r50"]["s / iteration measured"] == "0.42"
    soon = as_rows(view(catalogue, "rank-sort-mask-rcnn-lvis", folder, "paper"))
    assert soon["rs_mask_r50_lvis"]["box oLRP published"] == "coming soon"


def test_figures_of_others_are_no_columns(catalogue, tmp_path):
    tmp_path.joinpath("demo").mkdir()
    for slug in ("alrp-faster-rcnn", "rank-sort-one-stage"):
        groups = {
            column.group for column in view(catalogue, slug, tmp_path / "demo", "demo").columns
        }
        assert groups == {"", "AP", "oLRP"}


class Balance(HTMLParser):
    """Counts cells per row and checks that every tag that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.widths: list[int] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "br", "input", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.widths.append(0)
        if tag in ("td", "th"):
            self.widths[-1] += int(dict(attrs).get("colspan", 1))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_table_renders_in_four_formats(catalogue, tmp_path):
    folder = write_preset(tmp_path)
    for table in catalogue.tables:
        shown = view(catalogue, table.slug, folder, "demo")
        paths = write_table(shown, tmp_path / "tables")
        assert [path.suffix[1:] for path in paths] == list(FORMATS)
        page = Balance()
        page.feed(paths[2].read_text())
        assert page.open == []
        assert set(page.widths) == {len(shown.columns)}
        markdown = [line for line in paths[1].read_text().splitlines() if line.startswith("|")]
        assert len(markdown) == len(table.entries) + 2
        assert {line.replace("\\|", "").count("|") for line in markdown} == {len(shown.columns) + 2}


def test_html_and_markdown_escape(catalogue, tmp_path):
    shown = view(catalogue, "alrp-retinanet", write_preset(tmp_path), "demo")
    assert r"AP Loss\*" in render(shown, "md")
    assert "Rank &amp; Sort" in render(
        view(catalogue, "rank-sort-rcnn", tmp_path / "demo", "demo"), "html"
    )


def test_tex_escapes():
    assert tex("a_b & 50% #1 {x} $y ~^\\") == (
        r"a\_b \& 50\% \#1 \{x\} \$y \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert tex("[480,960] ±0.3 − 1×2 —") == r"{[}480,960{]} $\pm$0.3 $-$ 1$\times$2 ---"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tex_compiles(catalogue, tmp_path):
    folder = tmp_path / "paper"
    write_result(folder, "rs_mask_r50", "paper", 0.4, masks=True, data="coco")
    floats = [
        render(view(catalogue, table.slug, folder, "paper"), "tex") for table in catalogue.tables
    ]
    body = "\n\\clearpage\n".join(floats)
    document = (
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n"
    )
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull \\hbox" not in run.stdout


def test_another_setup_is_not_comparable(catalogue, tmp_path):
    place = write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.399, data="coco")
    path, words = place / "run.json", "learning rate: official 0.008, here 0.02"
    run = json.loads(path.read_text())
    for differs, status in (([], "reproduced"), ([words], f"not comparable: {words}")):
        path.write_text(json.dumps(run | {"setup_differs": differs}))
        row = as_rows(view(catalogue, "rank-sort-one-stage", tmp_path / "paper", "paper"))
        assert row["rs_atss_r50"]["status"].startswith(status)
    path.write_text(json.dumps(run | {"setup_differs": "lr"}))
    with pytest.raises(InputError, match='"setup_differs" as a list of texts'):
        read_results(catalogue, tmp_path / "paper", "paper")


@pytest.mark.parametrize(
    ("operators", "is_named"),
    [("rankdet (plain PyTorch)", True), ("mmcv (compiled)", False), (None, False)],
)
def test_rows_without_compiled_operators_are_named(catalogue, tmp_path, operators, is_named):
    """In preset paper alone: no figure of another one stands beside an official run's."""
    for preset, data in (("paper", "coco"), ("demo", "digits")):
        folder = tmp_path / preset
        path = write_result(folder, "rs_atss_r50", preset, data=data) / "run.json"
        run = json.loads(path.read_text())
        versions = {"torch": "2.13.0"} | ({"operators": operators} if operators else {})
        path.write_text(json.dumps(run | {"versions": versions}))
        write_result(folder, "rs_paa_r50", preset, data=data)
        shown = view(catalogue, "rank-sort-one-stage", folder, preset)
        notes = [note for note in shown.notes if "built-in operators" in note]
        assert len(notes) == (is_named and preset == "paper")
        if notes:
            [row] = [row for row in shown.rows if row.entry_id == "rs_atss_r50"]
            assert f": {row.cells[0]}. Both" in notes[0] and notes[0] in render(shown, "md")
