"""Ranking pool by pool in one call equals the mean of the losses of each pool alone."""

import pytest
import torch

from rankdet.losses import (
    alrp_loss,
    ap_loss,
    bucketed_rank_sort_loss,
    parameterized_ap_loss,
    rank_sort_loss,
)
from tests.unit.losses.problems import close, gradient_of, trained_like


def ap(logits, targets, errors, pools):
    return (ap_loss(logits, targets, pools=pools),)


def alrp(logits, targets, errors, pools):
    return alrp_loss(logits, targets, errors, pools=pools)


def rank_sort(logits, targets, errors, pools):
    return rank_sort_loss(logits, targets, pools=pools)


def bucketed(logits, targets, errors, pools):
    return bucketed_rank_sort_loss(logits, targets, pools=pools)


def parameterized(logits, targets, errors, pools):
    qualities = torch.zeros_like(logits).masked_scatter(targets > 0, errors)
    return (
        parameterized_ap_loss(logits, qualities, targets, form="square", top_k=300, pools=pools),
    )


@pytest.fixture(params=[ap, alrp, rank_sort, bucketed, parameterized])
def loss(request):
    return request.param


def problem(layout):
    """Logits, targets, errors and pool ids; every layout has a pool without positives."""
    logits, targets, errors = trained_like(40, 2_000, seed=3)
    places = torch.arange(logits.numel())
    pools = {
        "mixed": places % 4,
        "blocks": places * 4 // logits.numel(),
        "with gaps": (places % 4) * 3 + 2,
        "wide ids": (places % 4) * 10**12 - 7,
    }[layout]
    lonely = pools == pools.max()
    errors = errors[~lonely[targets > 0]]
    targets[lonely & (targets > 0)] = 0
    return logits, targets, errors, pools


@pytest.mark.parametrize("layout", ["mixed", "blocks", "with gaps", "wide ids"])
def test_mean_over_the_pools(loss, layout):
    logits, targets, errors, pools = problem(layout)
    logits.requires_grad_()
    together = loss(logits, targets, errors, pools)
    apart = []
    for pool in pools.unique():
        own = pools == pool
        apart.append(loss(logits[own], targets[own], errors[own[targets > 0]], None))
    for k, value in enumerate(together):
        expected = sum(each[k] for each in apart) / 4
        close(value, expected, 1e-12)
        torch.testing.assert_close(
            gradient_of(value, logits)[0], gradient_of(expected, logits)[0], rtol=1e-9, atol=1e-14
        )


def test_errors_get_the_gradient_of_their_pool():
    logits, targets, errors, pools = problem("mixed")
    errors.requires_grad_()
    logits.requires_grad_()
    value = alrp_loss(logits, targets, errors, pools=pools)[1]
    expected = 0
    for pool in range(4):
        own = pools == pool
        mine = errors[own[targets > 0]]
        expected = expected + alrp_loss(logits[own], targets[own], mine)[1] / 4
    torch.testing.assert_close(gradient_of(value, errors), gradient_of(expected, errors))


def test_one_pool_is_no_pool(loss):
    logits, targets, errors, _ = problem("mixed")
    logits.requires_grad_()
    same = torch.full_like(logits, 7, dtype=torch.int64)
    for ours, expected in zip(
        loss(logits, targets, errors, same), loss(logits, targets, errors, None), strict=True
    ):
        assert ours == expected


def test_no_positive_in_any_pool(loss):
    logits = torch.randn(12, requires_grad=True)
    pools = torch.arange(12) % 3
    values = loss(logits, torch.zeros(12), torch.zeros(0), pools)
    assert all(value == 0 and value.requires_grad for value in values)
    assert not gradient_of(sum(values), logits)[0].any()


def test_as_many_processes_of_one_pool_each(loss):
    """What DDP would do: average the gradients of processes that hold one pool each."""
    logits, targets, errors, pools = problem("blocks")
    averaged = torch.zeros_like(logits)
    for pool in range(4):
        own = pools == pool
        alone = logits[own].clone().requires_grad_()
        total = sum(loss(alone, targets[own], errors[own[targets > 0]], None))
        averaged[own] = gradient_of(total, alone)[0] / 4
    logits.requires_grad_()
    total = sum(loss(logits, targets, errors, pools))
    torch.testing.assert_close(gradient_of(total, logits)[0], averaged, rtol=1e-9, atol=1e-14)
