"""The exact losses equal the plain O(P N) loop, for any input."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rankdet.losses import alrp_loss, ap_loss, rank_sort_loss
from tests import reference_losses as plain


@st.composite
def problems(draw, size=40):
    """Logits [n], targets in {-1, 0, (0, 1]} and one error per positive; ties are likely."""
    count = draw(st.integers(1, size))
    step = draw(st.sampled_from([0.25, 0.01, 1e-4]))
    spread = draw(st.sampled_from([1, 5, 40]))
    whole = st.integers(-int(spread / step), int(spread / step))
    logits = torch.tensor(draw(st.lists(whole, min_size=count, max_size=count))) * step
    targets = draw(
        st.lists(
            st.sampled_from([-1.0, 0.0, 0.0, 0.3, 0.5, 0.77, 1.0]), min_size=count, max_size=count
        )
    )
    targets = torch.tensor(targets, dtype=torch.float64)
    positives = int((targets > 0).sum())
    errors = draw(arrays.arrays("float64", positives, elements=st.floats(0, 2)))
    return logits.double(), targets, torch.from_numpy(errors)


def close(ours, expected):
    torch.testing.assert_close(ours, expected.to(ours.dtype), rtol=1e-9, atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_ap(problem, delta):
    logits, targets, _ = problem
    value, gradient = plain.ap_loss(logits, targets, delta)
    logits.requires_grad_()
    ours = ap_loss(logits, targets, delta=delta)
    close(ours, value)
    close(*torch.autograd.grad(ours, logits), gradient)


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_alrp(problem, delta):
    logits, targets, errors = problem
    order = torch.argsort(logits[targets > 0], stable=True)
    tied = logits[targets > 0][order].diff() == 0
    classification, localization, gradient, of_errors = plain.alrp_loss(
        logits, targets, errors, delta
    )
    logits.requires_grad_()
    errors.requires_grad_()
    ours = alrp_loss(logits, targets, errors, delta=delta)
    close(ours[0], classification)
    close(*torch.autograd.grad(ours[0], logits), gradient)
    if not tied.any():  # the hard order of tied positives is a free choice
        close(ours[1], localization)
        close(*torch.autograd.grad(ours[1], errors), of_errors)


@settings(max_examples=200, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_rank_sort(problem, delta):
    logits, targets, _ = problem
    ranking, sorting, of_ranking, of_sorting = plain.rank_sort_loss(logits, targets, delta)
    logits.requires_grad_()
    ours = rank_sort_loss(logits, targets, delta=delta)
    close(ours[0], ranking)
    close(ours[1], sorting)
    close(*torch.autograd.grad(ours[0], logits, retain_graph=True), of_ranking)
    close(*torch.autograd.grad(ours[1], logits), of_sorting)
