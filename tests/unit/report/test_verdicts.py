"""A verdict for every cell: which, from how many runs, and what would decide."""

import json
import math
import statistics

import pytest
from scipy.stats import t as student

from rankdet.catalogue import State, load_catalogue
from rankdet.catalogue.presets import get_preset
from rankdet.errors import InputError
from rankdet.report.columns import Column, columns_of
from rankdet.report.results import read_results
from rankdet.report.verdicts import (
    PRIOR_DEVIATION,
    PRIOR_FREEDOM,
    TOLERANCE_AP,
    Comparison,
    Verdict,
    cells_of,
    comparisons,
    further_runs,
    half_width,
    row_verdict,
)
from tests.unit.report.synthetic import write_result

RUNNABLE, FIGURES_ONLY = State("runnable", True), State("published only", False)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


def judged(catalogue, folder, entry, preset="paper", state=RUNNABLE):
    """Return the cells by column heading, and the verdict of the row."""
    result = read_results(catalogue, folder, preset).get(entry)
    [table] = [each for each in catalogue.tables if catalogue[entry] in each.entries]
    columns = columns_of(table, catalogue)
    note = get_preset(preset)
    cells = comparisons(catalogue[entry], columns, catalogue, result, note, state)
    row = row_verdict(columns, cells, result, note, state)
    return {column.heading: cell for column, cell in zip(columns, cells, strict=True)}, row


def write_runs(folder, entry, values, preset="paper", **options):
    for seed, ap in enumerate(values):
        write_result(folder, entry, preset, ap, seed=seed, several=len(values) > 1, **options)


def test_the_tolerance_is_the_one_that_is_stated():
    """mmdetection's maintainers: less than 0.3 AP between two trainings (issue 3496)."""
    assert TOLERANCE_AP == 0.3
    # 95 % of the differences of two trainings are within it.
    assert PRIOR_DEVIATION * math.sqrt(2) * 1.96 == pytest.approx(TOLERANCE_AP)


@pytest.mark.parametrize("values", [[40.0], [39.9, 40.1], [39.5, 40.0, 40.3, 40.4]])
def test_the_interval_is_that_of_a_moderated_t_test(values):
    n = len(values)
    variance = statistics.variance(values) if n > 1 else 0
    freedom = PRIOR_FREEDOM + n - 1
    moderated = (PRIOR_FREEDOM * PRIOR_DEVIATION**2 + (n - 1) * variance) / freedom
    expected = student.ppf(0.95, freedom) * math.sqrt(moderated / n)
    assert half_width(values) == pytest.approx(expected, rel=1e-12)
    assert half_width(values, trained=False) == 0


# Published: 39.9 AP (rs_atss_r50).
@pytest.mark.parametrize(
    ("runs", "verdict", "words"),
    [
        ([39.9], "reproduced", "reproduced"),
        ([40.0], "reproduced", "reproduced"),
        ([39.8], "reproduced", "reproduced"),
        ([40.1], "inconclusive", "inconclusive: AP needs 3 more runs"),
        ([39.7], "inconclusive", "inconclusive: AP needs 3 more runs"),
        ([40.3], "inconclusive", "inconclusive: AP needs 3 more runs"),
        ([40.5], "not reproduced", "not reproduced: AP +0.6"),
        ([39.3], "not reproduced", "not reproduced: AP −0.6"),
        ([39.8, 39.9, 40.1], "reproduced", "reproduced"),
        ([39.0, 39.1, 39.2], "not reproduced", "not reproduced: AP −0.8"),
        ([40.2] * 3, "inconclusive", None),
        ([38.9, 39.9, 40.9], "inconclusive", None),
        # One of three is far off: the spread is too large to decide.
        ([39.9, 39.9, 41.4], "inconclusive", None),
    ],
)
def test_the_verdict_follows_the_interval(catalogue, tmp_path, runs, verdict, words):
    write_runs(tmp_path / "paper", "rs_atss_r50", [ap / 100 for ap in runs], data="coco")
    cells, (row, text) = judged(catalogue, tmp_path / "paper", "rs_atss_r50")
    assert row == verdict and cells["AP"].verdict == verdict
    assert words is None or text == words
    low, high = cells["AP"].interval
    assert (low + high) / 2 == pytest.approx(statistics.fmean(runs) - 39.9)
    assert (verdict == "reproduced") == (low >= -0.3 and high <= 0.3)
    assert (verdict == "not reproduced") == (high < -0.3 or low > 0.3)
    assert (cells["AP"].more is not None) == (verdict == "inconclusive")


@pytest.mark.parametrize("runs", [[40.1], [40.3], [39.9, 40.3], [39.2, 39.9, 40.5]])
def test_the_number_of_further_runs_decides(runs):
    """With as many further runs of the same mean and variance the interval is decisive."""
    shift = statistics.fmean(runs) - 39.9
    more = further_runs(shift, runs)
    assert 1 <= more <= 20

    def decides(n):
        variance = statistics.variance(runs) if len(runs) > 1 else 0
        before = len(runs) - 1
        moderated = PRIOR_FREEDOM * PRIOR_DEVIATION**2 + before * variance
        moderated /= PRIOR_FREEDOM + before
        half = student.ppf(0.95, PRIOR_FREEDOM + n - 1) * math.sqrt(moderated / n)
        return abs(shift) + half < 0.3 or abs(shift) - half > 0.3

    assert decides(len(runs) + more) and not decides(len(runs) + more - 1)


def test_at_the_limit_no_number_of_runs_is_promised(catalogue, tmp_path):
    write_runs(tmp_path / "paper", "rs_atss_r50", [0.402], data="coco")
    cells, (_, text) = judged(catalogue, tmp_path / "paper", "rs_atss_r50")
    assert cells["AP"].more == 0
    assert text == "inconclusive: AP at the limit, 20 more runs would not decide"


BOX = Column("coco_val2017", "bbox", "AP", "box AP")
MASK = Column("coco_val2017", "segm", "AP", "mask AP")
ERROR = Column("coco_val2017", "bbox", "oLRP", "box oLRP")
OF = {
    "reproduced": Verdict.REPRODUCED,
    "not": Verdict.NOT_REPRODUCED,
    "inconclusive": Verdict.INCONCLUSIVE,
}


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        # The largest deviation decides, whichever way and in whichever column it is.
        ([(BOX, 0.1, "reproduced"), (MASK, -0.9, "not")], "not reproduced: mask AP −0.9"),
        ([(BOX, -0.9, "not"), (MASK, 0.1, "reproduced")], "not reproduced: box AP −0.9"),
        ([(BOX, -0.6, "not"), (MASK, 0.8, "not")], "not reproduced: mask AP +0.8"),
        ([(BOX, 0.8, "not"), (MASK, -0.6, "not")], "not reproduced: box AP +0.8"),
        ([(BOX, -0.8, "not"), (MASK, 0.6, "not")], "not reproduced: box AP −0.8"),
        ([(BOX, 0.3, "inconclusive"), (MASK, -0.9, "not")], "not reproduced: mask AP −0.9"),
        (
            [(BOX, 0.1, "reproduced"), (MASK, -0.3, "inconclusive")],
            "inconclusive: mask AP needs 2 more runs",
        ),
        ([(BOX, 0.1, "reproduced"), (MASK, -0.1, "reproduced")], "reproduced"),
        # oLRP has no stated tolerance, and a cell without a published value says nothing.
        ([(BOX, 0.1, "reproduced"), (ERROR, -5.0, None)], "reproduced"),
        ([(BOX, None, None), (ERROR, 0.1, None)], "no published AP"),
    ],
)
def test_the_row_is_its_largest_deviation(catalogue, tmp_path, cells, words):
    write_result(tmp_path / "paper", "rs_mask_r50", "paper", 0.4, masks=True, data="coco")
    result = read_results(catalogue, tmp_path / "paper", "paper")["rs_mask_r50"]
    columns = tuple(column for column, *_ in cells)
    made = [
        Comparison(40.0, 40.0, gap)
        if name is None
        else Comparison(
            *(40.0, 40.0 + gap, gap),
            verdict=OF[name],
            interval=(gap - 0.1, gap + 0.1),
            more=2 if name == "inconclusive" else None,
        )
        for _, gap, name in cells
    ]
    found = row_verdict(columns, made, result, get_preset("paper"), RUNNABLE)
    assert found[1] == words


def test_masks_far_off_are_a_miss_though_boxes_are_right(catalogue, tmp_path):
    place = write_result(tmp_path / "paper", "rs_mask_r50", "paper", 0.4, masks=True, data="coco")
    document = json.loads((place / "metrics.json").read_text())
    box, mask = (
        value.value
        for kind in ("bbox", "segm")
        for value in catalogue.published("rs_mask_r50")
        if value.is_official and (value.iou_type, value.metric) == (kind, "AP")
        if "test" not in value.split
    )
    document["bbox"]["AP"], document["segm"]["AP"] = (box + 0.1) / 100, (mask - 0.9) / 100
    (place / "metrics.json").write_text(json.dumps(document))
    cells, (row, text) = judged(catalogue, tmp_path / "paper", "rs_mask_r50")
    assert row == "not reproduced" and text == "not reproduced: mask AP −0.9"
    assert cells["box AP"].verdict == "reproduced"


def test_every_verdict(catalogue, tmp_path):
    """A made-up set of results of preset paper with each verdict once."""
    folder = tmp_path / "paper"
    write_runs(folder, "rs_atss_r50", [0.398, 0.399, 0.4], data="coco")  # published 39.9
    write_runs(folder, "rs_paa_r50", [0.39], data="coco")  # published 41.0
    write_runs(folder, "rs_frcnn_r50", [0.394], data="coco")  # published 39.6
    write_runs(folder, "rs_cascade_r50", [0.41], data="digits")
    results = read_results(catalogue, folder, "paper")
    states = {entry.entry_id: RUNNABLE for entry in catalogue}
    states["pap_autoloss_zero_frcnn_r50"] = FIGURES_ONLY
    found = cells_of(catalogue.tables, catalogue, results, states, get_preset("paper"))
    by_cell = {(each.entry.entry_id, each.column.heading): each.comparison for each in found}
    expected = {
        ("rs_atss_r50", "AP"): "reproduced",
        ("rs_atss_r50", "oLRP"): "no tolerance: none is stated for oLRP",
        ("rs_paa_r50", "AP"): "not reproduced",
        ("rs_frcnn_r50", "AP"): "inconclusive: needs 3 more runs",
        ("rs_cascade_r50", "AP"): ("not comparable: data: 300 images, 10 classes, not COCO 2017"),
        ("rs_mask_r50", "mask AP"): "not run: runnable",
        ("pap_autoloss_zero_frcnn_r50", "AP"): "published only",
        ("alrp_ap_r101_500", "AP (test-dev)"): (
            "needs the server: the annotations of test-dev are not public"
        ),
    }
    assert {key: by_cell[key].text for key in expected} == expected
    kinds = {cell.verdict for cell in by_cell.values()}
    assert kinds == set(Verdict) - {Verdict.NOTHING_PUBLISHED}


def test_one_run_of_several_on_other_data_is_not_averaged_in(catalogue, tmp_path):
    write_runs(tmp_path / "paper", "rs_atss_r50", [0.399, 0.399], data="coco")
    write_result(
        tmp_path / "paper", "rs_atss_r50", "paper", 0.3, data="digits", seed=7, several=True
    )
    cells, (row, text) = judged(catalogue, tmp_path / "paper", "rs_atss_r50")
    assert row == "not comparable" and text.startswith("not comparable: seed 7: data: 300 images")
    assert cells["AP"].difference is None and cells["AP"].interval is None


def test_the_same_seed_twice_is_refused(catalogue, tmp_path):
    write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.399, data="coco")
    write_result(
        tmp_path / "paper", "rs_atss_r50", "paper", 0.399, data="coco", seed=0, several=True
    )
    with pytest.raises(InputError, match="one run of rs_atss_r50 with seed 0; got two"):
        read_results(catalogue, tmp_path / "paper", "paper")


def test_a_single_run_of_before_counts_as_its_seed(catalogue, tmp_path):
    write_result(tmp_path / "paper", "rs_atss_r50", "paper", 0.399, data="coco")
    write_result(
        tmp_path / "paper", "rs_atss_r50", "paper", 0.405, data="coco", seed=1, several=True
    )
    result = read_results(catalogue, tmp_path / "paper", "paper")["rs_atss_r50"]
    assert [run.seed for run in result.runs] == [0, 1]
    assert [run.place for run in result.runs] == ["rs_atss_r50", "rs_atss_r50/seed-1"]
    assert result.metric("bbox", "AP") == pytest.approx(40.2)


def test_a_folder_of_another_seed_is_refused(catalogue, tmp_path):
    place = write_result(
        tmp_path / "paper", "rs_atss_r50", "paper", 0.399, data="coco", seed=1, several=True
    )
    place.rename(place.with_name("seed-2"))
    with pytest.raises(InputError, match=r"seed 2 in .*run\.json; got 1"):
        read_results(catalogue, tmp_path / "paper", "paper")
