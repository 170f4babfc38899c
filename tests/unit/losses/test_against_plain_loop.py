"""The losses equal the plain O(P N) loops of benchmarks/reference_losses.py, for any input."""

import pytest
import torch
from benchmarks import reference_losses as plain
from hypothesis import given, settings
from hypothesis import strategies as st

from rankdet.losses import (
    SEARCHED_CONTROL_POINTS,
    alrp_loss,
    ap_loss,
    bucketed_ap_loss,
    bucketed_rank_sort_loss,
    parameterized_ap_loss,
    rank_sort_loss,
)
from rankdet.losses import _sorting as sorting
from tests.unit.losses.problems import close, gradient_of, problems, trained_like

DELTAS = st.sampled_from([0.1, 0.5, 1.0, 3.0])
MANY = settings(max_examples=70, deadline=None)
FORMS = ("retina", "rpn", "roi", "sign", "sigmoid", "linear", "square")


def compare_ap(logits, targets, delta):
    value, gradient = plain.ap_loss(logits, targets, delta)
    logits.requires_grad_()
    ours = ap_loss(logits, targets, delta=delta)
    close(ours, value)
    close(gradient_of(ours, logits)[0], gradient)


def compare_alrp(logits, targets, errors, delta):
    classification, localization, gradient, of_errors = plain.alrp_loss(
        logits, targets, errors, delta
    )
    logits.requires_grad_()
    errors.requires_grad_()
    ours = alrp_loss(logits, targets, errors, delta=delta)
    close(ours[0], classification)
    close(gradient_of(ours[0], logits)[0], gradient)
    close(ours[1], localization)
    close(gradient_of(ours[1], errors)[0], of_errors)
    assert not gradient_of(ours[1], logits)[0].any()


def compare_rank_sort(logits, targets, delta):
    ranking, sorting_value, of_ranking, of_sorting = plain.rank_sort_loss(logits, targets, delta)
    logits.requires_grad_()
    ours = rank_sort_loss(logits, targets, delta=delta)
    close(ours[0], ranking)
    close(ours[1], sorting_value)
    close(gradient_of(ours[0], logits)[0], of_ranking)
    # Sorting errors are differences of numbers near 1.
    torch.testing.assert_close(gradient_of(ours[1], logits)[0], of_sorting, rtol=1e-9, atol=1e-14)


@MANY
@given(problems(), DELTAS)
def test_ap(problem, delta):
    compare_ap(*problem[:2], delta)


@MANY
@given(problems(), DELTAS)
def test_alrp(problem, delta):
    compare_alrp(*problem, delta)


@MANY
@given(problems(), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_rank_sort(problem, delta):
    compare_rank_sort(*problem[:2], delta)


@settings(max_examples=70, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.5]), st.integers(1, 4), st.integers(2, 5))
def test_sorting_by_parts(problem, delta, leaf, parts):
    """Small leaves force the split of the sorting part on small problems."""
    saved = sorting.LEAF, sorting.SMALLEST, sorting.PARTS
    sorting.LEAF, sorting.SMALLEST, sorting.PARTS = leaf, 1, parts
    try:
        compare_rank_sort(*problem[:2], delta)
    finally:
        sorting.LEAF, sorting.SMALLEST, sorting.PARTS = saved


def test_many_entries():
    """Several chunks of negatives, several parts of positives."""
    logits, targets, errors = trained_like(400, 280_000)
    compare_ap(logits.clone(), targets, 1.0)
    compare_alrp(logits.clone(), targets, errors, 1.0)
    compare_rank_sort(logits.clone(), targets, 0.5)


def test_one_quality_for_many_positives():
    """More positives of one quality than a leaf holds, and a few others."""
    logits, targets, _ = trained_like(700, 100)
    targets[targets > 0] = 0.5
    compare_rank_sort(logits.clone(), targets, 0.5)
    targets[torch.nonzero(targets > 0)[:3]] = 0.25
    compare_rank_sort(logits.clone(), targets, 0.5)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20, deadline=None)
@given(problem=problems(size=30), top_k=st.sampled_from([100_000, 5]))
def test_parameterized_ap(form, problem, top_k):
    logits, targets, errors = problem
    if top_k == 5 and logits.unique().numel() < logits.numel():
        top_k = 100_000  # which of equal logits are among the five is a free choice
    rows = None
    if form in ("retina", "rpn", "roi", "sign"):
        rows = SEARCHED_CONTROL_POINTS["retina" if form == "sign" else form]
        rows = [list(row) for row in rows[: 4 if form == "sign" else 5]]
    qualities = torch.zeros_like(logits)
    qualities[targets > 0] = errors / 2
    qualities.requires_grad_()
    logits.requires_grad_()
    kind = "searched" if rows else form
    expected = plain.parameterized_ap_loss(logits, qualities, targets, rows, kind, top_k)
    ours = parameterized_ap_loss(logits, qualities, targets, rows, top_k=top_k, form=kind)
    close(ours, expected)
    for own, other in zip(
        gradient_of(ours, logits, qualities), gradient_of(expected, logits, qualities), strict=True
    ):
        close(own, other, 1e-8)


@pytest.mark.parametrize("form", ["sigmoid", "square", "retina"])
def test_parameterized_ap_with_many_candidates(form):
    """Enough of them for the intervals of the sigmoid's sum."""
    logits, targets, errors = trained_like(60, 4_000)
    qualities = torch.zeros_like(logits).masked_scatter(targets > 0, errors).requires_grad_()
    logits.requires_grad_()
    rows = SEARCHED_CONTROL_POINTS.get(form)
    kind = "searched" if rows else form
    expected = plain.parameterized_ap_loss(logits, qualities, targets, rows, kind)
    ours = parameterized_ap_loss(logits, qualities, targets, rows, form=kind)
    close(ours, expected)
    for own, other in zip(
        gradient_of(ours, logits, qualities), gradient_of(expected, logits, qualities), strict=True
    ):
        close(own, other)


@MANY
@given(problems(tied=False), DELTAS)
def test_bucketed(problem, delta):
    logits, targets, _ = problem
    value, gradient = plain.bucketed_rank_loss(logits, targets, delta)
    _, sorting_value, _, of_sorting = plain.rank_sort_loss(logits, targets, delta)
    logits.requires_grad_()
    for ours in (
        bucketed_ap_loss(logits, targets, delta=delta),
        bucketed_rank_sort_loss(logits, targets, delta=delta)[0],
    ):
        close(ours, value)
        close(gradient_of(ours, logits)[0], gradient)
    _, ours = bucketed_rank_sort_loss(logits, targets, delta=delta)
    close(ours, sorting_value)
    torch.testing.assert_close(gradient_of(ours, logits)[0], of_sorting, rtol=1e-9, atol=1e-14)
