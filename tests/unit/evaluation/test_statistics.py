"""Weights of images equal images that are there several times; intervals equal scipy's."""

import warnings
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rankdet.errors import InputError
from rankdet.evaluation import bootstrap, evaluate, read_detections, read_ground_truth
from rankdet.evaluation.evaluator import scored_matches
from rankdet.evaluation.statistics import Samples, interval, resample
from rankdet.evaluation.weighted import Counted, WeightedMatches, _levels_reached
from tests.unit.evaluation import cases
from tests.unit.evaluation.populations import population

pytestmark = pytest.mark.filterwarnings("ignore")
NOTHING = np.zeros(0)
NAMES = ("AP", "AP50", "AP75", "oLRP")
LIMIT = {"coco": 100, "lvis": 300}


def prepared(truth, rows, protocol="coco", iou_type="bbox"):
    columns = read_ground_truth(truth, (iou_type,), protocol)
    found = read_detections(rows, columns)
    matches, _ = scored_matches(columns, found, iou_type, "auto", LIMIT[protocol])
    return WeightedMatches(matches, Counted.of(columns)), columns


def repeated(truth, rows, weight):
    """Return the data set with image number i weight[i] times, the copies side by side."""
    images, annotations, found = [], [], []
    places = np.argsort([image["id"] for image in truth["images"]])
    for number, place in zip(weight, places, strict=True):
        image = truth["images"][place]
        for _ in range(number):
            key = len(images) + 1
            images.append({**image, "id": key})
            for old, new in ((truth["annotations"], annotations), (rows, found)):
                new += [{**row, "image_id": key} for row in old if row["image_id"] == image["id"]]
    for place, row in enumerate(annotations):
        row["id"] = place + 1
    return {**truth, "images": images, "annotations": annotations}, found


def agree(errors, truth, rows, protocol="coco", iou_type="bbox"):
    """Compare with `evaluate` and return its numbers."""
    metrics = evaluate(truth, rows, iou_type, protocol)
    for place, row in enumerate(metrics.per_class):
        own = errors.ap[:, place].mean(), errors.ap[0, place], errors.ap[5, place]
        for value, name in zip((*own, errors.olrp[place]), NAMES, strict=True):
            expected = np.nan if row[name] is None else row[name]
            assert value == pytest.approx(expected, abs=1e-12, nan_ok=True), name
    return metrics.numbers


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases.datasets())
def test_weights_of_one_are_the_evaluation(case):
    truth, rows, iou_type = case
    weighted, columns = prepared(truth, rows, iou_type=iou_type)
    errors = weighted.errors(np.ones(len(columns.image_ids), dtype=np.int64))
    agree(errors, truth, rows, iou_type=iou_type)


@pytest.mark.parametrize("protocol", ["coco", "lvis"])
@pytest.mark.parametrize("seed", range(12))
def test_a_weight_is_an_image_that_is_there_so_often(protocol, seed):
    rng = np.random.default_rng(seed)
    truth, rows = population(rng, images=int(rng.integers(2, 12)), lvis=protocol == "lvis")
    weighted, columns = prepared(truth, rows, protocol)
    images = len(columns.image_ids)
    for weight in (
        np.ones(images, int),
        np.bincount(rng.integers(0, images, images), minlength=images),
    ):
        errors = weighted.errors(weight)
        numbers = agree(errors, *repeated(truth, rows, weight), protocol)
        if numbers["AP"] is not None:
            assert np.nanmean(errors.ap) == pytest.approx(numbers["AP"], abs=1e-12)
            assert np.nanmean(errors.olrp) == pytest.approx(numbers["oLRP"], abs=1e-12)


def test_equal_scores_of_images_side_by_side():
    """A false positive of one image and a true one of the other, with one score."""
    truth, rows = cases.tiny(((0, 0, 40, 40),), ((0, 0, 40, 40, 0.5),))
    truth["images"].append({**truth["images"][0], "id": 2})
    rows.append({"image_id": 2, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5})
    for weight in ([2, 1], [1, 2], [3, 2]):
        weighted, _ = prepared(truth, rows)
        agree(weighted.errors(np.array(weight)), *repeated(truth, rows, weight))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_the_table_of_levels_compares_as_numbers_do(counts):
    start, levels = _levels_reached(np.array(counts))
    recalls = np.linspace(0, 1, 101)
    for place, count in zip(start, counts, strict=True):
        expected = [int((recalls <= true / count).sum()) for true in range(1, count + 1)]
        assert levels[place : place + count + 1].tolist() == [0, *expected]


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_the_intervals_are_those_of_scipy(method):
    rng = np.random.default_rng(3)
    truth, rows = population(rng, images=30)
    weighted, _ = prepared(truth, rows)

    def ap(images):
        errors = weighted.errors(np.bincount(images.astype(int), minlength=30))
        return float(np.nanmean(errors.ap.mean(axis=0)))

    expected = scipy.stats.bootstrap(
        (np.arange(30),),
        ap,
        n_resamples=400,
        vectorized=False,
        method={"bca": "BCa"}.get(method, method),
        rng=np.random.default_rng(5),
    )
    resampled = expected.bootstrap_distribution
    left_out = np.array([ap(np.delete(np.arange(30), place)) for place in range(30)])
    own = interval(ap(np.arange(30)), resampled, left_out, NOTHING, method=method, confidence=0.95)
    assert (own.low, own.high) == pytest.approx(
        (expected.confidence_interval.low, expected.confidence_interval.high), abs=1e-12
    )
    assert own.standard_error == pytest.approx(expected.standard_error, abs=1e-12)
    # The same from our own random numbers, as near as 400 resamples can be.
    drawn = bootstrap(truth, rows, resamples=400, method=method).result.numbers["AP"]
    width = own.high - own.low
    assert drawn.value == pytest.approx(own.value, abs=1e-12)
    assert abs(drawn.low - own.low) < 0.25 * width and abs(drawn.high - own.high) < 0.25 * width


def test_a_left_out_group_is_one_image_where_there_are_few():
    def images(weight):
        values = np.full((10, 1), float((weight * np.arange(30)).sum() / weight.sum()))
        return type("Errors", (), {"ap": values, "olrp": values[0]})()

    (samples,) = resample([images], 30, None, 5, 0)
    expected = [np.delete(np.arange(30.0), place).mean() for place in range(30)]
    assert sorted(samples.left_out[:, 0]) == pytest.approx(sorted(expected))


def test_the_bias_of_halves_moves_a_corrected_interval():
    normal = NormalDist(0.5, 0.1)
    values = np.array([normal.inv_cdf((i + 0.5) / 4000) for i in range(4000)])
    left_out = np.full(100, 0.5)

    def ends(halves, method="corrected"):
        arguments = values, left_out, np.array(halves)
        own = interval(0.5, *arguments, method=method, confidence=0.95)
        return np.array([own.low, own.high])

    # Halves that look 0.01 better: the whole is better than the truth by 0.01 / (2^(2/3) - 1).
    shift = ends([0.51, 0.51]) - ends([0.5, 0.5])
    assert shift == pytest.approx([-0.01 / (2 ** (2 / 3) - 1)] * 2, abs=5e-4)
    assert ends([0.5]) == pytest.approx(ends([0.5], "bca"), abs=1e-9)
    assert ends([]) == pytest.approx(ends([0.5]), abs=1e-12)
    assert (ends([9.0]) >= values.min()).all()


def test_a_corrected_interval_lies_where_the_truth_is_more_often():
    """AP of few images is too high: the corrected interval is below that of BCa."""
    truth, rows = population(np.random.default_rng(8), images=40)
    both = [bootstrap(truth, rows, resamples=200, method=name) for name in ("bca", "corrected")]
    first, second = (each.result.numbers for each in both)
    assert second["AP"].value == first["AP"].value
    assert second["AP"].low < first["AP"].low and second["oLRP"].high > first["oLRP"].high


def test_corrected_intervals_of_differences_are_percentile_intervals():
    truth, rows = population(np.random.default_rng(8), images=20)
    other = [{**row, "score": row["score"] ** 2 * 0.5 + 0.1} for row in rows[::2]]
    methods = ("corrected", "percentile", "bca")
    own, plain, bca = (bootstrap(truth, rows, other, resamples=50, method=m) for m in methods)
    assert own.difference == plain.difference != bca.difference
    assert own.result != plain.result != bca.result


def test_one_seed_gives_one_interval():
    truth, rows = population(np.random.default_rng(0), images=12)
    first, same, another = (bootstrap(truth, rows, resamples=30, seed=seed) for seed in (1, 1, 2))
    assert first == same
    assert first.result.numbers["AP"] != another.result.numbers["AP"]
    assert first.result.numbers["AP"].value == another.result.numbers["AP"].value


def test_both_results_see_the_same_resamples():
    truth, rows = population(np.random.default_rng(1), images=20)
    found = bootstrap(truth, rows, list(rows), resamples=50)
    assert found.other == found.result
    every = [*found.difference.numbers.values()]
    every += [each for row in found.difference.per_class for each in row.values()]
    assert {(each.low, each.value, each.high) for each in every if each} == {(0.0, 0.0, 0.0)}
    worse = [{**row, "bbox": [1.0, 1.0, 5.0, 5.0]} for row in rows]
    paired = bootstrap(truth, rows, worse, resamples=50).difference.numbers["AP"]
    assert paired.value < 0 and paired.high < 0 and paired.excludes_zero
    parts = [bootstrap(truth, each, resamples=50).result.numbers["AP"] for each in (rows, worse)]
    assert paired.value == pytest.approx(parts[1].value - parts[0].value, abs=1e-12)


def test_lvis_has_numbers_by_frequency():
    truth, rows = population(np.random.default_rng(2), images=15, lvis=True)
    found = bootstrap(truth, rows, protocol="lvis", resamples=20)
    numbers = evaluate(truth, rows, protocol="lvis").numbers
    assert {"APr", "APc", "APf", "oLRPr", "oLRPc", "oLRPf"} < set(found.result.numbers)
    for name, each in found.result.numbers.items():
        value = None if each is None else pytest.approx(each.value, abs=1e-12)
        assert numbers[name] == value, name
    assert found.arguments["protocol"] == "lvis"


def test_an_absent_class_has_no_interval_and_a_rare_one_fewer_resamples():
    truth, rows = population(np.random.default_rng(4), images=10)
    truth["categories"].append({"id": 99, "name": "absent"})
    truth["categories"].append({"id": 100, "name": "once"})
    truth["annotations"].append(
        {**truth["annotations"][0], "id": 10_000, "category_id": 100, "bbox": [0, 0, 9, 9]}
    )
    found = bootstrap(truth, rows, resamples=60)
    names = [row["name"] for row in found.categories]
    absent, once = (found.result.per_class[names.index(name)] for name in ("absent", "once"))
    assert set(absent.values()) == {None}
    assert (once["AP"].low, once["AP"].high, once["oLRP"].low) == (0.0, 0.0, 1.0)
    assert 20 < once["AP"].resamples < 55  # (1 - 1/10)^10 of 60 resamples lack it: 21
    assert found.categories[names.index("once")]["annotations"] == 1


def test_no_detections_and_no_annotations():
    truth, rows = population(np.random.default_rng(5), images=6)
    found = bootstrap(truth, [], resamples=10).result.numbers
    assert (found["AP"].high, found["oLRP"].low) == (0.0, 1.0)
    empty = {**truth, "annotations": []}
    assert set(bootstrap(empty, rows, resamples=10).result.numbers.values()) == {None}


def test_an_estimate_outside_of_all_resamples_has_an_interval_nevertheless():
    values = np.linspace(0.5, 0.6, 100)
    own = interval(0.4, values, np.array([0.4, 0.5]), NOTHING, method="bca", confidence=0.95)
    assert 0.5 <= own.low <= own.high <= 0.6
    parts = np.zeros((3, 1)), np.zeros((2, 1)), np.zeros((0, 1))
    undefined = Samples(["AP"], np.full(1, np.nan), *parts)
    assert undefined.estimates("bca", 0.9).numbers == {"AP": None}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (dict(resamples=1), "resamples"),
        (dict(resamples=2.5), "resamples"),
        (dict(confidence=95), "confidence"),
        (dict(method="BCA"), "method"),
        (dict(seed=-1), "seed"),
        (dict(iou_type="keypoints"), "iou_type"),
        (dict(protocol="voc"), "protocol"),
    ],
)
def test_wrong_arguments_are_refused(arguments, word):
    truth, rows = population(np.random.default_rng(6), images=4)
    with pytest.raises(InputError, match=word):
        bootstrap(truth, rows, **arguments)


def test_one_image_cannot_be_resampled():
    truth, rows = cases.tiny()
    with pytest.raises(InputError, match="two images"):
        bootstrap(truth, rows)


def test_no_warning_of_numpy():
    truth, rows = population(np.random.default_rng(7), images=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bootstrap(truth, rows, rows[: len(rows) // 2], resamples=25)
