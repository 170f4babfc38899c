"""Figures of what the papers claim, their words, and how all figures look on paper and phone."""

import itertools
import json
import re

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.report import claims, names
from rankdet.report.canvas import svg
from rankdet.report.captions import FIGURES
from rankdet.report.claims import EVALUATE_AGAIN, cost_figure, published_figure
from rankdet.report.curves import MOST_TERMS, loss_terms
from rankdet.report.figures import draw_figures, write_figures
from rankdet.report.layout import NARROW
from rankdet.report.results import Result, read_results
from tests.unit.report.synthetic import DEMO_ENTRIES, write_preset, write_result
from tests.unit.report.test_figures import words

DEMO, PAPER = get_preset("demo"), get_preset("paper")
SIDES = [False, True]


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture(scope="module")
def paper(catalogue, tmp_path_factory):
    """Return results of 14 rows, as of the official run."""
    root = tmp_path_factory.mktemp("paper") / "paper"
    rows = [entry for entry in catalogue if entry.config_path.is_file()]
    for place, entry in enumerate(rows[:: len(rows) // 14]):
        ap, both = 0.33 + 0.008 * place, "segm" in entry.iou_types
        write_result(root, entry.entry_id, "paper", ap, data=entry.dataset, masks=both)
        if "bbox" not in entry.iou_types:
            path = root / entry.entry_id / "curves.json"
            path.write_text(json.dumps({"segm": json.loads(path.read_text())["bbox"]}))
    return read_results(catalogue, root, "paper")


@pytest.fixture(scope="module")
def demo(catalogue, tmp_path_factory):
    return read_results(catalogue, write_preset(tmp_path_factory.mktemp("results")), "demo")


def number_words(text):
    return re.findall(r"\d+(?:\.\d+)?", text)


# Correlation.


def test_correlations_are_drawn_and_said(catalogue, demo):
    drawing = draw_figures(catalogue, demo, DEMO)["correlation"]
    axes = drawing.figure().axes[0]
    drawn = {round(float(line.get_xdata()[0]), 2) for line in axes.lines if line.get_marker()}
    for place in range(len(DEMO_ENTRIES)):
        pearson = 0.3 + 0.05 * place
        assert {round(pearson, 2), round(pearson - 0.1, 2)} <= drawn
        said = f"Pearson {pearson:.2f}, Spearman {pearson - 0.1:.2f} over 40 true positives"
        assert said in drawing.words
        assert f"{pearson:.2f} / {pearson - 0.1:.2f}" in words(drawing.figure())


def test_mean_iou_is_drawn_over_the_share_of_true_positives(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    content = json.loads((place / "curves.json").read_text())
    bins = {"count": [1, 3], "score": [-5.0, 1e30], "IoU": [0.6, 0.8]}
    part = {"true_positives": 4, "pearson": None, "spearman": -1.0, "bins": bins}
    content["bbox"]["localization"] = part
    (place / "curves.json").write_text(json.dumps(content))
    found = read_results(catalogue, place.parent, "demo")
    drawing = draw_figures(catalogue, found, DEMO)["correlation"]
    (line,) = drawing.figure().axes[1].lines
    np.testing.assert_allclose(line.get_xydata(), [[12.5, 0.6], [62.5, 0.8]])
    assert "Pearson undefined, Spearman -1.00 over 4 true positives" in drawing.words
    assert "— / -1.00" in words(drawing.figure())


def test_curves_of_an_older_version_ask_for_an_evaluation(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    content = json.loads((place / "curves.json").read_text())
    for part in (None, {"true_positives": 0, "bins": dict(count=[], score=[], IoU=[])}):
        content["bbox"]["localization"] = part
        (place / "curves.json").write_text(json.dumps(content))
        found = read_results(catalogue, place.parent, "demo")
        drawing = draw_figures(catalogue, found, DEMO)["correlation"]
        assert drawing.missing == EVALUATE_AGAIN and "evaluate" in words(drawing.figure())


# Loss terms.


def test_every_term_has_a_panel_and_the_balance_is_none(catalogue, demo):
    figure = loss_terms(list(demo.values()), DEMO)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles.count("loss_cls") == titles.count("loss_bbox") == 3  # a block for each family
    assert titles.count("weight of loss_bbox") == 1 and "loss" not in titles
    (weight,) = figure.axes[titles.index("weight of loss_bbox")].lines
    assert weight.get_ydata()[0] == 50 and weight.get_ydata()[-1] == pytest.approx(4)
    said = draw_figures(catalogue, demo, DEMO)["loss_terms"].words
    assert "weight of loss_bbox 50 to 4" in said
    assert re.search(r"\(rs_atss_r50\): loss_cls 0\.9\d* to 0\.28\d*, loss_bbox 0\.3", said)


def test_terms_beyond_the_limit_are_counted(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    terms = {f"d{layer}.loss_cls": 1.0 for layer in range(MOST_TERMS + 3)}
    (place / "training.jsonl").write_text(json.dumps({"iteration": 1, "loss": 1.0, **terms}))
    found = list(read_results(catalogue, place.parent, "demo").values())
    figure = loss_terms(found, DEMO)
    assert len([axes for axes in figure.axes if axes.lines]) == MOST_TERMS
    assert "3 more terms are not drawn" in words(figure)


def test_a_record_without_terms_gives_no_panel(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    (place / "training.jsonl").write_text('{"iteration": 1, "loss": 1.0, "balance_bbox": "x"}\n')
    found = read_results(catalogue, place.parent, "demo")
    assert draw_figures(catalogue, found, DEMO)["loss_terms"].missing == "no loss terms yet"


# Published and reproduced.


def test_published_values_are_on_x_and_reproduced_on_y(catalogue, paper):
    drawing = draw_figures(catalogue, paper, PAPER)["published"]
    axes = drawing.figure().axes[0]
    drawn = {tuple(line.get_xydata()[0].round(3)) for line in axes.lines if line.get_marker() != ""}
    expected = set()
    for entry_id, result in paper.items():
        kind = result.main_iou_type
        for value in catalogue.published(entry_id):
            known = (value.iou_type, value.metric) == (kind, "AP") and value.is_official
            if known and value.value is not None and "test" not in value.split:
                expected.add((value.value, round(result.metric(kind, "AP"), 3)))
                assert f"{value.value:.1f}, here {result.metric(kind, 'AP'):.1f}" in drawing.words
    assert len(expected) > 8 and expected <= drawn
    identity = max(axes.lines, key=lambda line: np.ptp(line.get_xdata()))
    np.testing.assert_array_equal(identity.get_xdata(), identity.get_ydata())
    low, high = axes.get_xlim()
    assert axes.get_ylim() == (low, high) == tuple(identity.get_xdata())
    band = axes.collections[0].get_paths()[0].vertices
    assert np.abs(band[:, 1] - band[:, 0]).max() == pytest.approx(0.3)


def test_several_seeds_have_an_error_bar(paper, monkeypatch):
    monkeypatch.setattr(Result, "spread", lambda self, *_: 0.25, raising=False)
    published = dict.fromkeys(paper, 40.0)
    figure = published_figure(list(paper.values()), PAPER, published)
    bars = [each for each in figure.axes[0].collections if hasattr(each, "get_segments")]
    lengths = {round(float(np.ptp(bar.get_segments()[0][:, 1])), 6) for bar in bars}
    assert len(bars) == len(paper) and lengths == {0.5}
    assert "± 0.2" in words(figure) or "± 0.3" in words(figure)


def test_a_preset_that_is_not_comparable_says_why(catalogue, demo):
    drawing = draw_figures(catalogue, demo, DEMO)["published"]
    assert drawing.missing.endswith("not comparable with published values: digits set")
    assert drawing.missing in words(drawing.figure()).replace("\n", " ")


# Cost.


def test_cost_is_the_measured_time(catalogue, tmp_path):
    for place, (entry_id, seconds) in enumerate(
        (("rs_atss_r50", 7200.0), ("control_atss_r50", 1800.0))
    ):
        folder = write_result(tmp_path / "demo", entry_id, "demo", 0.4 + 0.1 * place)
        run = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**run, "seconds": seconds}))
    found = read_results(catalogue, tmp_path / "demo", "demo")
    drawing = draw_figures(catalogue, found, DEMO)["cost"]
    axes = drawing.figure().axes[0]
    points = {tuple(map(float, line.get_xydata()[0].round(6))) for line in axes.lines}
    assert points == {(2.0, 40.0), (0.5, 50.0)}
    assert axes.get_xlabel() == "training time in hours"
    assert "AP 40.0, 2 h 00 min, 72.00 s per iteration" in drawing.words
    assert "Machine: An invented processor, 2 cores." in drawing.words
    assert "An invented processor" in words(drawing.figure())


def test_times_of_several_machines_are_not_of_one(demo, monkeypatch):
    for place, result in enumerate(demo.values()):
        monkeypatch.setitem(result.run, "machine", {"gpu": f"GPU {place % 2}"})
    assert "2 machines" in words(cost_figure(list(demo.values()), DEMO))


def test_no_time_without_a_training(catalogue, tmp_path):
    folder = write_result(tmp_path / "published", "rs_atss_r50", "published")
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "seconds": None}))
    found = read_results(catalogue, tmp_path / "published", "published")
    drawing = draw_figures(catalogue, found, get_preset("published"))["cost"]
    assert drawing.missing == "preset published trains nothing: there is no time"


# All figures.


@pytest.mark.parametrize("narrow", SIDES)
@pytest.mark.parametrize("rows", [1, 4, 14])
def test_no_text_leaves_its_figure_and_no_legend_covers_a_plot(catalogue, paper, rows, narrow):
    chosen = dict(list(paper.items())[:rows])
    for name, drawing in draw_figures(catalogue, chosen, PAPER).items():
        figure = drawing.figure(narrow=narrow)
        figure.draw_without_rendering()
        inner = figure.bbox.padded(1.0)
        legends = _legends(figure)
        for text in _texts(figure):
            box = text.get_window_extent()
            assert inner.x0 <= box.x0 and box.x1 <= inner.x1, (name, text.get_text())
            assert inner.y0 <= box.y0 and box.y1 <= inner.y1, (name, text.get_text())
        for legend, axes in itertools.product(legends, figure.axes):
            if axes.axison:
                assert not _overlap(legend.get_window_extent(), axes.bbox), name
        for one, other in itertools.combinations(figure.axes, 2):
            assert not _overlap(one.bbox, other.bbox), name


def _legends(figure):
    return [*figure.legends, *(each for part in figure.subfigs for each in _legends(part))]


def _texts(figure):
    """Return the texts that are drawn: of the labels of ticks only those inside the limits."""
    every = {id(each): each for each in figure.findobj(Text) if each.get_visible()}
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                every.pop(id(tick.label1), None), every.pop(id(tick.label2), None)
            drawn = axis._update_ticks() if axes.axison and axis.get_visible() else []
            every |= {id(tick.label1): tick.label1 for tick in drawn}
    return [each for each in every.values() if each.get_text().strip()]


def _overlap(one, other):
    return (
        min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    )


def test_text_on_a_phone_is_at_least_nine_pixels_high(catalogue, paper):
    shown = 390 - 2 * 24  # CSS pixels inside the margins of the page
    for drawing in draw_figures(catalogue, paper, PAPER).values():
        figure = drawing.figure(narrow=True)
        figure.draw_without_rendering()
        width = figure.get_size_inches()[0]
        assert width == NARROW
        smallest = min(text.get_fontsize() for text in _texts(figure))
        assert smallest * shown / (72 * width) >= 9


def test_numbers_of_points_do_not_cover_each_other(paper):
    for narrow in SIDES:
        figure = published_figure(
            list(paper.values()),
            PAPER,
            {entry_id: 35.0 + 0.4 * place for place, entry_id in enumerate(paper)},
            narrow,
        )
        figure.draw_without_rendering()
        notes = [each for each in figure.axes[0].texts if each.get_text().isdigit()]
        assert [int(each.get_text()) for each in notes] == list(range(1, len(paper) + 1))
        # The arrow to a point is part of an annotation, but not of its text.
        boxes = [Text.get_window_extent(each) for each in notes]
        for one, other in itertools.combinations(boxes, 2):
            assert not _overlap(one, other)


def test_every_figure_has_words_with_its_numbers(catalogue, paper):
    for name, drawing in draw_figures(catalogue, paper, PAPER).items():
        assert drawing.title == FIGURES[name].title and not drawing.missing
        assert PAPER.caption in drawing.words
        for entry_id in paper:
            if name != "published":
                assert f"({entry_id})" in drawing.words, name
        assert drawing.words == " ".join(drawing.words.split())
    drawings = draw_figures(catalogue, paper, PAPER)
    drawn = {name: words(drawings[name].figure()) for name in ("ap", "cost", "precision_recall")}
    for result in paper.values():
        value = f"{result.metric(result.main_iou_type, 'AP'):.1f}"
        for name, shown in drawn.items():
            assert value in number_words(drawings[name].words)
            assert value in number_words(shown)
        lowest = 100 * min(result.curves()["LRP"])
        assert f"lowest LRP {lowest:.1f} at score 0.40" in drawings["lrp"].words


def test_files_carry_their_words(catalogue, demo, tmp_path):
    drawings = draw_figures(catalogue, demo, DEMO)
    write_figures(drawings, tmp_path)
    for name, drawing in drawings.items():
        text = (tmp_path / f"{name}.svg").read_text()
        assert 'role="img"' in text and f"<title>{drawing.title}</title>" in text
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.text == {"Title": drawing.title, "Description": drawing.words}


def test_an_inline_figure_is_text(catalogue, demo):
    drawing = draw_figures(catalogue, demo, DEMO)["ap"]
    inline = svg(drawing.figure(), "ap", drawing.title, words_id="words-ap")
    assert 'role="img" aria-label="AP on the validation set" aria-describedby="words-ap"' in inline
    assert ">rs_atss_r50</text>" in inline and "<metadata>" not in inline
    whole = svg(drawing.figure())
    assert len(inline) < len(whole) / 3


# Color-blind readers.

# Machado, Oliveira, Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", 2009, severity 1.0, for linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
) / [[0.9505], [1.0], [1.0888]]


def lab(color, sight):
    """Return CIELAB of a color as it is seen."""
    rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(sight) @ linear, 0, 1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_colors_of_losses_are_told_apart(sight):
    colors = [names.loss_color(family) for family in names.FAMILY_ORDER]
    assert len(set(colors)) == len(names.FAMILY_ORDER)
    for one, other in itertools.combinations(colors, 2):
        difference = np.linalg.norm(lab(one, SIGHT[sight]) - lab(other, SIGHT[sight]))
        assert difference > 10, (one, other)  # 2.3 is just noticeable


@pytest.mark.parametrize("name", ["training", "loss_terms", "precision_recall", "lrp"])
def test_two_lines_of_a_panel_differ_in_color_dash_or_marker(catalogue, paper, name):
    figure = draw_figures(catalogue, paper, PAPER)[name].figure()
    seen = 0
    for axes in figure.axes:
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1 and not line.get_alpha()]
        looks = [(line.get_color(), line._dash_pattern, line.get_marker()) for line in lines]
        seen = max(seen, len(lines))
        assert len(set(map(repr, looks))) == len(looks)
    assert seen > 2


def test_points_of_one_loss_differ_by_detector(paper):
    figure = cost_figure(list(paper.values()), PAPER)
    groups = {}
    for point, line in zip(
        claims.cost_points(list(paper.values())), figure.axes[0].lines, strict=True
    ):
        key = names.detector_group(point.result.entry)
        groups.setdefault(key, set()).add(line.get_marker())
    assert all(len(markers) == 1 for markers in groups.values())
    assert len({marker for each in groups.values() for marker in each}) == len(groups) > 3
