"""What must not change a loss, and what its gradient must balance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdet.losses import alrp_loss, ap_loss, parameterized_ap_loss, rank_sort_loss
from tests.unit.losses.problems import close, gradient_of, problems

MANY = settings(max_examples=40, deadline=None)


def ap(logits, targets, errors):
    return [ap_loss(logits, targets)]


def alrp(logits, targets, errors):
    return list(alrp_loss(logits, targets, errors))


def rank_sort(logits, targets, errors):
    return list(rank_sort_loss(logits, targets))


def parameterized_ap(logits, targets, errors):
    qualities = torch.zeros_like(logits).masked_scatter(targets > 0, errors / 2)
    return [parameterized_ap_loss(logits, qualities, targets, form="linear")]


LOSSES = [ap, alrp, rank_sort, parameterized_ap]
EXACT = [ap, alrp, rank_sort]


def run(loss, logits, targets, errors):
    """Values, and the gradient of each with respect to the logits."""
    logits = logits.detach().clone().requires_grad_()
    values = loss(logits, targets, errors)
    return values, [gradient_of(value, logits)[0] for value in values]


@pytest.mark.parametrize("loss", LOSSES)
@MANY
@given(problem=problems(tied=False), random=st.randoms(use_true_random=False))
def test_permutation_of_the_list(loss, problem, random):
    logits, targets, errors = problem
    order = list(range(logits.numel()))
    random.shuffle(order)
    order = torch.tensor(order)
    spread = torch.zeros_like(logits).masked_scatter(targets > 0, errors)[order]
    shuffled = run(loss, logits[order], targets[order], spread[targets[order] > 0])
    values, gradients = run(loss, logits, targets, errors)
    for ours, expected in zip(shuffled[0], values, strict=True):
        close(ours, expected, 1e-12)
    for ours, expected in zip(shuffled[1], gradients, strict=True):
        torch.testing.assert_close(ours, expected[order], rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@MANY
@given(problem=problems(), shift=st.integers(-64, 64))
def test_common_shift_of_the_logits(loss, problem, shift):
    logits, targets, errors = problem
    values, gradients = run(loss, logits, targets, errors)
    shifted = run(loss, logits + shift / 4, targets, errors)
    for ours, expected in zip(shifted[0] + shifted[1], values + gradients, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES)
@MANY
@given(problem=problems())
def test_irrelevant_negatives_and_ignored_entries_do_not_count(loss, problem):
    logits, targets, errors = problem
    values, gradients = run(loss, logits, targets, errors)
    lowest = logits[targets > 0].min() if (targets > 0).any() else torch.tensor(torch.inf)
    kept = (targets > 0) | ((targets == 0) & (logits >= lowest - 1))
    fewer = run(loss, logits[kept], targets[kept], errors)
    for ours, expected in zip(fewer[0], values, strict=True):
        close(ours, expected, 1e-12)
    for ours, expected in zip(fewer[1], gradients, strict=True):
        torch.testing.assert_close(ours, expected[kept], rtol=1e-9, atol=1e-13)
        assert not expected[~kept].any()


@pytest.mark.parametrize("loss", EXACT)
@MANY
@given(problem=problems())
def test_positives_pull_up_what_negatives_push_down(loss, problem):
    logits, targets, errors = problem
    gradient = run(loss, logits, targets, errors)[1][0]
    of_positives, of_negatives = gradient[targets > 0].sum(), gradient[targets == 0].sum()
    torch.testing.assert_close(of_positives, -of_negatives, rtol=1e-10, atol=1e-13)
    assert (gradient[targets > 0] <= 0).all()
    assert (gradient[targets == 0] >= 0).all()


@MANY
@given(problem=problems())
def test_sorting_moves_positives_only(problem):
    logits, targets, errors = problem
    gradient = run(rank_sort, logits, targets, errors)[1][1]
    assert not gradient[targets <= 0].any()
    torch.testing.assert_close(gradient.sum(), torch.zeros(()).double(), rtol=0, atol=1e-12)


@MANY
@given(problem=problems(tied=False))
def test_a_narrow_window_is_a_hard_ranking(problem):
    """With distinct logits, delta below every gap, AP Loss is 1 - interpolated AP."""
    logits, targets, _ = problem
    value = ap_loss(logits.requires_grad_(), targets, delta=1e-5)
    order = torch.argsort(logits.detach(), descending=True)
    hits = (targets[order][targets[order] >= 0] > 0).double()
    if not hits.any():
        assert value == 0
        return
    precision = hits.cumsum(0) / torch.arange(1, hits.numel() + 1)
    best_from_here = precision.flip(0).cummax(0).values.flip(0)
    close(value, 1 - best_from_here[hits > 0].mean(), 1e-9)


def test_each_output_of_rank_sort_has_its_own_gradient():
    logits = torch.tensor([0.2, 0.1, 0.0, 0.3], requires_grad=True)
    targets = torch.tensor([0.3, 0.9, 0.0, 0.0])
    ranking, sorting = rank_sort_loss(logits, targets)
    both = gradient_of(2 * ranking + 3 * sorting, logits)[0]
    apart = 2 * gradient_of(ranking, logits)[0] + 3 * gradient_of(sorting, logits)[0]
    torch.testing.assert_close(both, apart)
    assert gradient_of(sorting, logits)[0][1] < 0
