"""PAA's mixtures: against scikit-learn's, one fit per object, and by hand."""

import numpy as np
import pytest
import torch

from rankdet.models.heads.paa import fit_mixtures, two_gaussians


def one_by_one(costs):
    """Fit one object as the official code does."""
    mixture = pytest.importorskip("sklearn.mixture", reason="the judge is scikit-learn")
    column = np.sort(costs)[:, None]
    fit = mixture.GaussianMixture(
        2,
        weights_init=[0.5, 0.5],
        means_init=[[column.min()], [column.max()]],
        precisions_init=[[1.0], [1.0]],
        covariance_type="diag",
        reg_covar=1e-5,
    ).fit(column)
    return fit.predict(column) == 0, fit.score_samples(column)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_all_objects_at_once_are_as_one_by_one(seed):
    draw = np.random.default_rng(seed)
    sizes = draw.integers(2, 46, 12)
    rows = [np.sort(draw.gamma(draw.uniform(0.5, 5), draw.uniform(0.1, 2), n)) for n in sizes]
    costs = torch.zeros(12, 45, dtype=torch.float64)
    is_candidate = torch.arange(45) < torch.tensor(sizes)[:, None]
    costs[is_candidate] = torch.from_numpy(np.concatenate(rows))
    is_better, likelihood = two_gaussians(costs, is_candidate)
    for row, size, ours, found in zip(rows, sizes, likelihood, is_better, strict=True):
        expected_better, expected = one_by_one(row)
        np.testing.assert_allclose(ours[:size], expected, rtol=1e-6, atol=1e-8)
        np.testing.assert_array_equal(found[:size], expected_better)


def test_costs_that_are_all_equal_do_not_stop_the_fit():
    costs = torch.full((1, 5), 1.5, dtype=torch.float64)
    is_better, likelihood = two_gaussians(costs, torch.ones(1, 5, dtype=torch.bool))
    assert is_better.all()
    assert likelihood.isfinite().all()


def positives(costs, objects, levels, top_k=9):
    fit = fit_mixtures(torch.tensor(costs), torch.tensor(objects), torch.tensor(levels), top_k)
    return fit.positives(len(costs)).tolist()


def test_two_clear_groups_are_separated():
    """The cheap group's likeliest member is its middle one; up to it all are positive."""
    assert positives([9.0, 1.0, 1.1, 9.2, 1.2], [0] * 5, [0] * 5) == [
        *(False, True, True, False, False),
    ]


def test_objects_do_not_mix_and_a_single_candidate_stays_negative():
    alone = positives([1.0, 1.1, 1.2, 9.0], [0] * 4, [0] * 4)
    both = positives([1.0, 5.0, 1.1, 1.2, 9.0], [0, 2, 0, 0, 0], [0] * 5)
    assert [both[0], *both[2:]] == alone
    assert not both[1]


def test_only_the_best_of_a_level_take_part():
    costs = [1.0, 1.01, 1.02, 1.03, 9.0]
    # With one candidate a level, 1.0 of level 0 and 9.0 of level 1 remain.
    assert positives(costs, [0] * 5, [0, 0, 0, 0, 1], top_k=1) == [True, *[False] * 4]


def test_nothing_to_fit():
    none = torch.zeros(0, dtype=torch.long)
    assert fit_mixtures(torch.zeros(0), none, none, 9).positives(0).shape == (0,)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_fit_is_in_float64_whatever_comes_in():
    """In float32 the official fit stops, or decides ties by rounding."""
    draw = np.random.default_rng(0)
    costs = np.sort(draw.gamma(2.0, 0.5, 30)).astype(np.float32)
    none = torch.zeros(30, dtype=torch.long)
    fit = fit_mixtures(torch.from_numpy(costs), none, none, 30)
    assert fit.log_likelihood.dtype == torch.float64
    is_better, likelihood = one_by_one(costs.astype(np.float64))
    np.testing.assert_allclose(fit.log_likelihood[0], likelihood, rtol=1e-10)
    np.testing.assert_array_equal(fit.is_better[0], is_better)


def test_costs_that_float32_cannot_tell_apart_keep_their_order():
    step = 2.0**-30
    costs = torch.tensor([1 + step, 1.0, 1 + 3 * step, 1 + 2 * step], dtype=torch.float64)
    none = torch.zeros(4, dtype=torch.long)
    assert fit_mixtures(costs, none, none, 9).index[0].tolist() == [1, 0, 3, 2]


def test_nine_of_a_level_are_nine():
    """DETECTORS.md 6: "topk 9", of each level of each object; not eight, not ten."""
    costs = torch.arange(32, dtype=torch.float64)
    objects, levels = torch.arange(32) // 16, torch.arange(32) // 2 % 8 // 6
    fit = fit_mixtures(costs, objects, levels, 9)
    assert [(levels[objects == row] == 0).sum().item() for row in (0, 1)] == [12, 12]
    for row in (0, 1):
        kept = fit.index[row][fit.is_candidate[row]]
        assert (objects[kept] == row).all()
        for level, count in ((0, 9), (1, 4)):
            own = kept[levels[kept] == level]
            place = (objects == row) & (levels == level)
            assert own.tolist() == place.nonzero().squeeze(1)[:count].tolist()
