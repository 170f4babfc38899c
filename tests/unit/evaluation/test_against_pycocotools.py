"""2000 random small data sets: every number is that of pycocotools, oLRP that of its definition."""

import warnings

import pytest
from hypothesis import HealthCheck, given, settings

from rankdet.evaluation import evaluate
from rankdet.evaluation.judge import differences
from tests.unit.evaluation import cases, reference


@settings(
    max_examples=2000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(cases.datasets())
def test_2000_random_small_cases(case):
    truth, rows, iou_type = case
    metrics = evaluate(truth, rows, iou_type)
    judge = reference.judge(truth, rows, iou_type)
    own = {name: metrics.numbers[name] for name in reference.NAMES}
    assert own == reference.twelve(judge)  # bit for bit
    for index, row in enumerate(metrics.per_class):
        for area, suffix in enumerate(("", "s", "m", "l")):
            expected = reference.class_lrp(judge, index, area)
            if expected is None:
                assert row[f"oLRP{suffix}"] is None
                continue
            for name, value in expected.items():
                key = name.replace("oLRP", f"oLRP{suffix}", 1)
                assert row[key] == pytest.approx(value, abs=1e-12)


def test_more_detections_than_the_limit():
    found = [(10 + i % 7, 10, 40, 40, 1 - i / 1000) for i in range(150)]
    truth, rows = cases.tiny(((10, 10, 40, 40), (16, 10, 40, 40)), found)
    assert differences(evaluate(truth, rows), truth, rows, "bbox") == []


def test_the_check_sees_a_wrong_number():
    truth, rows = cases.tiny(found=((10, 10, 40, 30, 0.9),))
    metrics = evaluate(truth, rows)
    metrics.numbers["AP"] += 1e-15
    (line,) = differences(metrics, truth, rows, "bbox")
    assert line.startswith("bbox AP: 0.600000000000000")


def test_no_detections_gives_nothing_to_differ_from():
    truth, _ = cases.tiny()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert differences(evaluate(truth, []), truth, [], "bbox") == []
