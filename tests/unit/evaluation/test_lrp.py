"""oLRP from the true positives alone: bit for bit the minimum over every prefix."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdet.evaluation.average_precision import ScoredMatches
from rankdet.evaluation.lrp import SCORE_GRID, TAU, optimal_lrp

NAMES = ("error", "localization", "false_positive", "false_negative", "threshold")


def every_prefix(matches, gt_count, category, area_range):
    """Return the optimum of one class and its error at each prefix, in one loop."""
    first = int(np.searchsorted(matches.position, np.searchsorted(matches.category, category)))
    rows = np.flatnonzero(matches.category == category)
    true = false = quality = 0.0
    errors, states = [], []
    number = first
    for row in rows:
        is_pair = number < len(matches.position) and matches.position[number] == row
        if is_pair and matches.is_true[area_range, 0, number]:
            true, quality = true + 1, quality + matches.iou[area_range, number]
        elif matches.costs[area_range, row] and not (
            is_pair and matches.is_matched[area_range, 0, number]
        ):
            false += 1
        number += is_pair
        missed = gt_count - true
        localization = true - quality
        errors.append((localization / (1 - TAU) + false + missed) / (true + false + missed))
        states.append((localization, true, false, missed))
    if true == 0:
        return (1.0, np.nan, np.nan, 1.0, np.nan), errors
    best = int(np.argmin(errors))
    localization, true, false, missed = states[best]
    with np.errstate(invalid="ignore"):
        mean = np.float64(localization) / true
        share = np.float64(false) / (true + false)
    return (
        errors[best],
        mean,
        share,
        missed / gt_count,
        matches.score[rows[best]],
    ), errors


# IoUs of exactly one half make the error of a true positive that of a miss: 1 at every prefix.
IOUS = [0.5, 0.5, np.nextafter(0.5, 1), 0.5 + 1e-12, 0.7, 0.9, 1.0]


@st.composite
def scored(draw):
    """Draw matches in score order of a few classes, with A = 2 area ranges."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    categories, count = draw(st.integers(1, 4)), draw(st.integers(0, 60))
    chosen = draw(st.lists(st.sampled_from(IOUS), min_size=1, max_size=3))
    category = np.sort(rng.integers(0, categories, count))
    score = rng.choice([0.1, 0.25, 0.5, 0.75, rng.random()], count)
    score = score[np.lexsort((-score, category))]
    position = np.flatnonzero(rng.random(count) < 0.6)
    is_matched = rng.random((2, 1, len(position))) < 0.8
    is_true = is_matched & (rng.random(is_matched.shape) < 0.8)
    matches = ScoredMatches(
        category=category,
        image=np.zeros(count, dtype=np.int64),
        rank=np.zeros(count, dtype=np.int64),
        score=score,
        costs=rng.random((2, count)) < 0.7,
        position=position,
        is_matched=is_matched,
        is_true=is_true,
        iou=np.where(is_matched[:, 0], rng.choice(chosen, (2, len(position))), 0.0),
    )
    true = np.stack(
        [np.bincount(category[position[each[0]]], minlength=categories) for each in is_true], axis=1
    )
    return matches, true + rng.integers(0, 3, true.shape)


@settings(max_examples=500, deadline=None, derandomize=True, database=None)
@given(scored())
def test_the_optimum_is_that_of_every_prefix(case):
    matches, gt_count = case
    result = optimal_lrp(matches, gt_count)
    for (category, area_range), count in np.ndenumerate(gt_count):
        own = [getattr(result, name)[category, area_range] for name in NAMES]
        if not count:
            assert own == [-1.0] * 5
            continue
        expected, errors = every_prefix(matches, count, category, area_range)
        np.testing.assert_array_equal(own, expected)
        if area_range == 0:
            score = matches.score[matches.category == category]
            kept = [int((score >= limit).sum()) for limit in SCORE_GRID]
            curve = [errors[number - 1] if number else 1.0 for number in kept]
            np.testing.assert_array_equal(result.curve[category], curve)
