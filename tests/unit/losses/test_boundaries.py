"""What stands on a limit: masses of exactly eps, and the papers' numbers as defaults.

All numbers are sums of a few powers of two, so that a mass is eps to the last bit.
"""

import inspect

import pytest
import torch

from rankdet import losses
from rankdet.losses import _sorting as sorting
from rankdet.losses import (
    alrp_loss,
    ap_loss,
    bucketed_ap_loss,
    bucketed_rank_sort_loss,
    rank_sort_loss,
)
from tests.unit.losses.problems import gradient_of

MASS = 0.25  # of the one negative, or of the one positive of lower quality, at a quarter window
BELOW = MASS - 2.0**-20


def one_positive_one_negative(delta):
    """FP of the positive is MASS: H(-delta / 2) = 1/4."""
    logits = torch.tensor([0.0, -delta / 2], dtype=torch.float64, requires_grad=True)
    return logits, torch.tensor([1.0, 0.0], dtype=torch.float64)


def alrp(logits, targets, eps):
    return alrp_loss(logits, targets, logits.new_full((1,), 0.5).detach(), delta=1.0, eps=eps)[0]


RANKED = {
    # name -> loss(logits, targets, eps), delta, self term in the rank
    "alrp": (alrp, 1.0, 1.0),
    "rank_sort": (
        lambda logits, targets, eps: rank_sort_loss(logits, targets, delta=0.5, eps=eps)[0],
        *(0.5, 0.5),
    ),
    "bucketed_ap": (
        lambda logits, targets, eps: bucketed_ap_loss(logits, targets, delta=1.0, eps=eps),
        *(1.0, 0.5),
    ),
    "bucketed_rank_sort": (
        lambda logits, targets, eps: bucketed_rank_sort_loss(logits, targets, delta=0.5, eps=eps)[
            0
        ],
        *(0.5, 0.5),
    ),
}


@pytest.mark.parametrize(("eps", "moves"), [(MASS, False), (BELOW, True), (2 * MASS, False)])
@pytest.mark.parametrize("name", RANKED)
def test_a_positive_moves_where_its_false_positives_exceed_eps(name, eps, moves):
    """The papers: an update "if FP_i > eps"; the value does not depend on eps."""
    loss, delta, self_term = RANKED[name]
    logits, targets = one_positive_one_negative(delta)
    value = loss(logits, targets, eps)
    error = MASS / (self_term + MASS)
    assert value.item() == pytest.approx(error, rel=1e-12)
    expected = [-error, error] if moves else [0.0, 0.0]
    assert gradient_of(value, logits)[0].tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", RANKED)
def test_with_eps_0_a_positive_without_false_positives_stays(name):
    loss, _, _ = RANKED[name]
    logits = torch.tensor([5.0, -5.0], dtype=torch.float64, requires_grad=True)
    value = loss(logits, torch.tensor([1.0, 0.0]).double(), 0.0)
    assert value == 0
    assert gradient_of(value, logits)[0].tolist() == [0.0, 0.0]


def test_ap_has_no_eps():
    """However small FP is, the positive moves; at 0 it does not."""
    for gap, false_positives in ((1 - 2.0**-40, 2.0**-41), (1.0, 0.0), (7.0, 0.0)):
        logits = torch.tensor([0.0, -gap], dtype=torch.float64, requires_grad=True)
        value = ap_loss(logits, torch.tensor([1, 0]))
        error = false_positives / (1 + false_positives)
        assert value.item() == pytest.approx(error, rel=1e-9, abs=0)
        expected = pytest.approx([-error, error], rel=1e-9, abs=0)
        assert gradient_of(value, logits)[0].tolist() == expected


def two_positives():
    """The better one has a quarter of the worse one above itself: D = MASS, S = C - T.

    Ascending logits, qualities 1 and 1/2, delta 1/2: h = [[1/2, 1/4], [3/4, 1/2]] (row i, column k)
    of the higher and the lower; only the higher, of quality 1, has a worse one beside it.
    """
    return torch.tensor([-0.25, 0.0]).double(), torch.tensor([0.5, 1.0]).double()


def by_parts(logits, qualities, delta, eps):
    saved = sorting.LEAF, sorting.SMALLEST
    sorting.LEAF, sorting.SMALLEST = 1, 1
    try:
        return sorting.sorting_errors(logits, qualities, delta, eps)
    finally:
        sorting.LEAF, sorting.SMALLEST = saved


def by_rows(logits, qualities, delta, eps):
    """The pairs of a leaf in blocks of one row, as many positives on an accelerator are."""
    saved = sorting._BLOCK
    sorting._BLOCK = 1
    try:
        return sorting.sorting_errors(logits, qualities, delta, eps)
    finally:
        sorting._BLOCK = saved


SORTED = {"by_leaf": sorting.sorting_errors, "by_parts": by_parts, "by_rows": by_rows}


@pytest.mark.parametrize(("eps", "moves"), [(MASS, False), (BELOW, True), (2 * MASS, False)])
@pytest.mark.parametrize("name", SORTED)
def test_a_sorting_error_is_given_back_where_its_mass_exceeds_eps(name, eps, moves):
    """The sorting error is distributed "if D_i > eps"."""
    count, errors, gradient = SORTED[name](*two_positives(), 0.5, eps)
    assert count.tolist() == [1.25, 0.75]
    # Of the higher: current (1/4 * 1/2) / (3/4), target 0.
    assert errors.tolist() == pytest.approx([0.0, 1 / 6], abs=1e-15)
    expected = [1 / 6, -1 / 6] if moves else [0.0, 0.0]
    assert gradient.tolist() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("name", SORTED)
def test_equal_qualities_are_not_missorted(name):
    logits, qualities = two_positives()
    _, errors, gradient = SORTED[name](logits, torch.full_like(qualities, 0.5), 0.5, 0.0)
    assert errors.tolist() == gradient.tolist() == [0.0, 0.0]


# The official code: delta 1.0 (AP, aLRP) and 0.5 (Rank & Sort); eps 1e-5 (aLRP);
# "delta 0.5, eps 1e-10"; bucketed as the losses they approximate; 100000 highest logits;
# aLRP's balance starts at 50.
DEFAULTS = {
    "ap_loss": dict(delta=1.0),
    "alrp_loss": dict(delta=1.0, eps=1e-5),
    "rank_sort_loss": dict(delta=0.5, eps=1e-10),
    "bucketed_ap_loss": dict(delta=1.0, eps=1e-10),
    "bucketed_rank_sort_loss": dict(delta=0.5, eps=1e-10),
    "parameterized_ap_loss": dict(control_points=None, top_k=100_000, form="searched"),
    "ApLoss": dict(delta=1.0),
    "AlrpLoss": dict(delta=1.0, eps=1e-5),
    "RankSortLoss": dict(delta=0.5, eps=1e-10),
    "BucketedApLoss": dict(delta=1.0, eps=1e-10),
    "BucketedRankSortLoss": dict(delta=0.5, eps=1e-10),
    "ParameterizedApLoss": dict(control_points=None, top_k=100_000, form="searched"),
    "SelfBalance": dict(initial=50.0, passes=1, reduce=False),
    "RankingPools": {},
    "GlobalPool": dict(group=None),
    "scale_to_value": {},
}


@pytest.mark.parametrize(
    "name", [each for each in losses.__all__ if callable(getattr(losses, each))]
)
def test_defaults_are_the_papers(name):
    found = inspect.signature(getattr(losses, name)).parameters.values()
    defaults = {p.name: p.default for p in found if p.default is not p.empty}
    assert defaults == DEFAULTS[name]


PASSED_ON = {
    "ApLoss": (ap_loss, dict(delta=0.75)),
    "AlrpLoss": (alrp_loss, dict(delta=0.75, eps=1e-3)),
    "RankSortLoss": (rank_sort_loss, dict(delta=0.75, eps=0.2)),
    "BucketedApLoss": (bucketed_ap_loss, dict(delta=0.75, eps=0.2)),
    "BucketedRankSortLoss": (bucketed_rank_sort_loss, dict(delta=0.75, eps=0.2)),
}


@pytest.mark.parametrize("name", PASSED_ON)
def test_a_module_passes_its_settings_on(name):
    function, settings = PASSED_ON[name]
    logits, targets = one_positive_one_negative(1.0)
    more = [torch.tensor([0.5]).double()] if name == "AlrpLoss" else []
    found = getattr(losses, name)(**settings)(logits, targets, *more)
    wanted = function(logits, targets, *more, **settings)
    if isinstance(found, tuple):
        found, wanted = found[0], wanted[0]
    assert found == wanted > 0
    assert torch.equal(gradient_of(found, logits)[0], gradient_of(wanted, logits)[0])
