"""Figures: one function each, one color per loss, the same bytes on every run."""

import re

import numpy as np
import pytest

from rankdet.catalogue import load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.errors import InputError
from rankdet.report.bars import metric_bars
from rankdet.report.canvas import DASHES, INK, MARKERS, strokes, svg
from rankdet.report.captions import FIGURES
from rankdet.report.curves import POINTS, precision_recall_curves, running_mean, training_curves
from rankdet.report.figures import draw_figures, write_figures
from rankdet.report.names import detector_group, loss_color, loss_family
from rankdet.report.results import read_results
from tests.unit.report.synthetic import DEMO_ENTRIES, write_preset, write_result

DEMO = get_preset("demo")


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture(scope="module")
def results(catalogue, tmp_path_factory):
    return read_results(catalogue, write_preset(tmp_path_factory.mktemp("results")), "demo")


def words(figure) -> str:
    texts = figure.findobj(match=lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text() for artist in texts)


def test_a_second_run_changes_no_byte(catalogue, results, tmp_path):
    first = write_figures(draw_figures(catalogue, results, DEMO), tmp_path / "first")
    second = write_figures(draw_figures(catalogue, results, DEMO), tmp_path / "second")
    assert {path.name for path in first} == {
        f"{name}.{form}" for name in FIGURES for form in ("svg", "png")
    }
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "<dc:date>" not in (tmp_path / "first" / "ap.svg").read_text()


@pytest.mark.parametrize("narrow", [False, True])
def test_every_figure_says_what_the_preset_is(catalogue, results, narrow):
    for drawing in draw_figures(catalogue, results, DEMO).values():
        assert DEMO.caption in words(drawing.figure(narrow=narrow)).replace("\n", " ")


def test_bars_show_the_values_and_no_published_mark_in_the_demo(catalogue, results):
    figure = draw_figures(catalogue, results, DEMO)["ap"].figure()
    shown = words(figure)
    for index, entry_id in enumerate(DEMO_ENTRIES):
        assert entry_id in shown
        assert f"{30 + 5 * index:.1f}" in shown
    assert figure.axes[0].lines == [] or not len(figure.axes[0].lines)
    assert "published" not in shown


def test_bars_mark_the_published_value_of_paper(catalogue, tmp_path):
    write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.38, data="coco")
    found = read_results(catalogue, tmp_path / "paper", "paper")
    axes = draw_figures(catalogue, found, get_preset("paper"))["ap"].figure().axes[0]
    assert [float(line.get_xdata()[0]) for line in axes.lines] == [39.9]


def test_one_color_per_loss_in_every_figure(results):
    colors = {loss_color(loss_family(result.entry)) for result in results.values()}
    assert len(colors) == 3  # focal twice
    for figure in (
        training_curves(list(results.values()), DEMO),
        precision_recall_curves(list(results.values()), DEMO),
    ):
        drawn = {line.get_color() for axes in figure.axes for line in axes.lines}
        assert drawn == colors


def test_lines_of_one_color_differ_in_their_dashes(catalogue, tmp_path):
    for entry_id in ("rs_mask_r50", "rs_mask_plus_r50"):
        write_result(tmp_path / "demo", entry_id, "demo")
    found = list(read_results(catalogue, tmp_path / "demo", "demo").values())
    for figure in (training_curves(found, DEMO), precision_recall_curves(found, DEMO)):
        lines = [line for line in figure.axes[0].lines if line.get_alpha() is None]
        assert len({line.get_linestyle() for line in lines}) == len(lines) == 2
        names = {"rs_mask_r50", "rs_mask_plus_r50"}
        assert names <= {line.split(":")[0] for line in words(figure).splitlines()}


def test_strokes_of_many_lines_are_unique(catalogue):
    entries = list(catalogue)[: len(DASHES) * (1 + len(MARKERS))]
    assert len(entries) > 60
    chosen = strokes(entries, lambda entry: entry.entry_id).values()
    assert len({(stroke["linestyle"], stroke.get("marker")) for stroke in chosen}) == len(entries)


def test_panels_without_data_are_left_out(catalogue, tmp_path):
    write_result(tmp_path / "demo", "rs_atss_r50", "demo", validations=False)
    found = list(read_results(catalogue, tmp_path / "demo", "demo").values())
    figure = training_curves(found, DEMO)
    assert [axes.get_ylabel() for axes in figure.axes] == ["training loss"]


def test_not_finite_losses_leave_a_gap_and_no_error(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    with (place / "training.jsonl").open("a") as stream:
        stream.write('{"iteration": 101, "loss": NaN}\n')
    found = list(read_results(catalogue, tmp_path / "demo", "demo").values())
    drawn = training_curves(found, DEMO).axes[0].lines
    assert max(float(np.max(line.get_xdata())) for line in drawn) == 100


def test_long_runs_are_thinned(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    lines = [f'{{"iteration": {i}, "loss": 1.0}}\n' for i in range(1, 5001)]
    (place / "training.jsonl").write_text("".join(lines))
    found = list(read_results(catalogue, tmp_path / "demo", "demo").values())
    drawn = training_curves(found, DEMO).axes[0].lines
    assert {len(line.get_xdata()) for line in drawn} == {POINTS}
    assert {float(line.get_xdata()[-1]) for line in drawn} == {5000.0}


def test_no_results_yet(catalogue):
    for name, drawing in draw_figures(catalogue, {}, DEMO).items():
        reason = "not comparable" if name == "published" else "no .* yet"
        assert re.search(reason, words(drawing.figure()))
        assert re.search(reason, drawing.missing) and drawing.missing in drawing.words


def test_curves_of_unequal_length_are_refused(catalogue, tmp_path):
    place = write_result(tmp_path / "demo", "rs_atss_r50", "demo")
    (place / "curves.json").write_text('{"bbox": {"recall": [0, 1], "precision": {"0.50": [1]}}}')
    found = list(read_results(catalogue, tmp_path / "demo", "demo").values())
    with pytest.raises(InputError, match=r"curves\.json: 1 of 0\.50 and 2 of recall"):
        precision_recall_curves(found, DEMO)


def test_running_mean_equals_the_plain_loop():
    values = np.random.default_rng(0).normal(size=40)
    for width in (1, 2, 5, 100):
        half = width // 2
        plain = [values[max(i - half, 0) : i + half + 1].mean() for i in range(len(values))]
        np.testing.assert_allclose(running_mean(values, width), plain)


def test_masks_are_called_masks(catalogue, tmp_path):
    for entry_id in ("rs_solov2_r101", "rs_mask_r50"):
        write_result(tmp_path / "demo", entry_id, "demo", 0.4, masks=True)
    found = read_results(catalogue, tmp_path / "demo", "demo")
    kinds = {entry_id: result.main_iou_type for entry_id, result in found.items()}
    assert kinds == {"rs_solov2_r101": "segm", "rs_mask_r50": "bbox"}
    shown = words(metric_bars(list(found.values()), "AP", DEMO))
    assert {"Rank & Sort", "Rank & Sort (masks)"} <= set(shown.splitlines())
    assert "36.0" in shown


def test_inlined_figures_take_the_ink_of_the_page_and_their_own_ids(catalogue, results):
    figure = draw_figures(catalogue, results, DEMO)["ap"].figure()
    assert INK in svg(figure)
    inlined = svg(figure, "ap")
    assert inlined.startswith("<svg")
    assert INK not in inlined
    assert "currentColor" in inlined
    assert all(name.startswith("ap-") for name in re.findall(r' id="([^"]+)"', inlined))
    targets = re.findall(r'(?:href="#|url\(#)([^")]+)', inlined)
    assert set(targets) <= set(re.findall(r' id="([^"]+)"', inlined))


@pytest.mark.parametrize(
    ("entry_id", "group"),
    [
        ("rs_frcnn_plus_r50", "Faster R-CNN"),
        ("rs_mask_plus_r50", "Mask R-CNN"),
        ("alrp_mmdet_alrp_atss_r50_500", "RetinaNet"),
        ("rs_solov2_r34_light", "SOLOv2"),
        ("ext_br_brsdetr_r50", "Co-DETR"),
    ],
)
def test_detector_groups(catalogue, entry_id, group):
    assert detector_group(catalogue[entry_id]) == group


def test_no_curve_leaves_its_axes(results):
    """The best values come last in a column of their own: shared axes must reach them too."""
    found = sorted(results.values(), key=lambda each: each.metrics["bbox"]["AP"])
    for order in (found, found[::-1]):
        for figure in (training_curves(order, DEMO), precision_recall_curves(order, DEMO)):
            figure.canvas.draw()
            lines = [(axes, line) for axes in figure.axes for line in axes.lines]
            assert lines
            for axes, line in lines:
                low, high = sorted(axes.get_ylim())
                values = np.asarray(line.get_ydata(), dtype=float)
                values = values[np.isfinite(values)]
                assert len(values) and low <= values.min() and values.max() <= high
