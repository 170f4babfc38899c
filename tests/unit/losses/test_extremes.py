"""Nothing, one, all equal, far apart, many, half precision: defined for every loss."""

import pytest
import torch
from benchmarks import reference_losses as plain

from rankdet.errors import InputError
from rankdet.losses import (
    SEARCHED_CONTROL_POINTS,
    alrp_loss,
    ap_loss,
    bucketed_ap_loss,
    bucketed_rank_sort_loss,
    parameterized_ap_loss,
    rank_sort_loss,
)
from tests.unit.losses.problems import close, gradient_of, trained_like


def parameterized(form):
    rows = SEARCHED_CONTROL_POINTS.get(form)

    def loss(logits, targets):
        quality = targets.clamp(min=0).float()
        kind = "searched" if rows else form
        return parameterized_ap_loss(logits, quality, targets, rows, form=kind)

    return loss


def alrp(logits, targets):
    return alrp_loss(logits, targets, torch.full((int((targets > 0).sum()),), 0.25))


LOSSES = {
    "ap": ap_loss,
    "alrp": alrp,
    "rank_sort": rank_sort_loss,
    "rank_sort_step": lambda logits, targets: rank_sort_loss(logits, targets, delta=0.0),
    "bucketed_ap": bucketed_ap_loss,
    "bucketed_rank_sort": bucketed_rank_sort_loss,
    **{form: parameterized(form) for form in ("retina", "sigmoid", "linear", "square")},
}


@pytest.fixture(params=LOSSES, ids=str)
def loss(request):
    return LOSSES[request.param]


def run(loss, logits, targets):
    """Total value and gradient, checked to be finite and in place."""
    logits = logits.detach().clone().requires_grad_()
    values = loss(logits, targets)
    values = values if isinstance(values, tuple) else (values,)
    total = sum(values)
    (gradient,) = gradient_of(total, logits)
    assert all(value.shape == () for value in values)
    assert gradient.shape == logits.shape
    assert gradient.dtype == logits.dtype
    assert torch.isfinite(total)
    assert torch.isfinite(gradient).all()
    assert not gradient[targets < 0].any()
    return total.detach(), gradient


def test_no_positive(loss):
    logits = torch.linspace(-2, 2, 9, requires_grad=True)
    targets = torch.tensor([0.0, -1.0, 0.0] * 3)
    values = loss(logits, targets)
    for value in values if isinstance(values, tuple) else (values,):
        assert value == 0
        assert value.requires_grad
        value.backward(retain_graph=True)
    assert logits.grad is not None
    assert not logits.grad.any()


def test_nothing_at_all(loss):
    total, gradient = run(loss, torch.zeros(0), torch.zeros(0))
    assert total == 0
    assert gradient.shape == (0,)


def test_only_ignored_entries(loss):
    assert run(loss, torch.randn(5), torch.full((5,), -1.0))[0] == 0


@pytest.mark.parametrize("name", ["ap", "alrp", "rank_sort", "bucketed_ap", "bucketed_rank_sort"])
def test_no_negative(name):
    """Nothing is ranked wrongly; equal qualities are in any order."""
    logits = torch.tensor([1.0, -3.0, 0.5], requires_grad=True)
    values = LOSSES[name](logits, torch.tensor([0.5, 0.5, 0.5]))
    value = values[0] if isinstance(values, tuple) else values
    assert value == 0
    assert not gradient_of(value, logits)[0].any()


@pytest.mark.parametrize("targets", [[1.0], [0.7, 0.0], [0.7, 0.0, 0.0, -1.0]])
def test_one_positive(loss, targets):
    run(loss, torch.tensor([0.3, 0.1, -4.0, 2.0])[: len(targets)], torch.tensor(targets))


@pytest.mark.parametrize("value", [-4.6, 0.0, 50.0, -50.0])
def test_all_logits_equal(loss, value):
    targets = torch.tensor([1.0, 0.5, 0.0, 0.0, 0.0, -1.0] * 4)
    run(loss, torch.full((24,), value), targets)


def test_all_equal_logits_have_the_loss_that_counting_gives():
    """Every H is 1/2: rank = 1 + (P - 1)/2 + N/2."""
    positives, negatives = 50, 200
    targets = torch.cat((torch.ones(positives), torch.zeros(negatives)))
    logits = torch.zeros(positives + negatives, requires_grad=True)
    rank = 1 + (positives - 1) / 2 + negatives / 2
    assert ap_loss(logits, targets).item() == pytest.approx(negatives / 2 / rank)
    assert bucketed_ap_loss(logits, targets).item() == pytest.approx(0.8)


def test_logits_of_fifty(loss):
    """At +-50 nothing overflows, and what is far apart is a plain ranking."""
    generator = torch.Generator().manual_seed(0)
    sign = torch.where(torch.rand(400, generator=generator) < 0.3, 50.0, -50.0)
    logits = sign + torch.randn(400, generator=generator)
    targets = (torch.rand(400, generator=generator) < 0.1) * torch.rand(400, generator=generator)
    run(loss, logits, targets)


@pytest.mark.parametrize("gap", [1e3, 1e6, 1e10])
def test_far_apart_logits_keep_their_digits(gap):
    """Two groups, far apart: the windows inside each group are not blurred."""
    near = torch.tensor([0.0, 0.3, -0.2, 0.6], dtype=torch.float64)
    logits = torch.cat((near, near - gap, near + gap))
    targets = torch.tensor([1.0, 0.0, 0.0, 1.0] * 3).double()
    value, gradient = plain.ap_loss(logits, targets)
    logits.requires_grad_()
    ours = ap_loss(logits, targets)
    close(ours, value, 1e-5 if gap > 1e9 else 1e-9)
    close(gradient_of(ours, logits)[0], gradient, 1e-5 if gap > 1e9 else 1e-9)


def test_masked_negatives_may_be_as_low_as_the_type_goes(loss):
    logits, targets, _ = trained_like(8, 100, dtype=torch.float32)
    logits[targets == 0] = torch.where(torch.arange(100) % 3 == 0, -3.4e38, logits[targets == 0])
    run(loss, logits, targets)


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_infinite_logits_are_refused(loss, bad, where):
    logits = torch.zeros(3)
    logits[where] = bad
    with pytest.raises(InputError, match="finite logits"):
        loss(logits.requires_grad_(), torch.tensor([1.0, 0.0, -1.0]))


def test_diverged_positive_is_refused():
    with pytest.raises(InputError, match="diverged"):
        ap_loss(torch.tensor([1e30, 0.0], requires_grad=True), torch.tensor([1, 0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_as_float32(loss, dtype):
    """The numbers are exact in float32: only the gradient is rounded at the end."""
    logits, targets, _ = trained_like(40, 2_000)
    logits = logits.to(dtype)
    wide = run(loss, logits.float(), targets.float())
    total, gradient = run(loss, logits, targets.float())
    assert total.dtype == torch.float32
    assert total == wide[0]
    torch.testing.assert_close(gradient, wide[1].to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.float16, torch.float64])
def test_any_type_of_targets(kind):
    logits, targets, _ = trained_like(40, 500, dtype=torch.float32)
    hard = torch.where(targets > 0, 1, 0)
    assert torch.equal(run(ap_loss, logits, hard)[1], run(ap_loss, logits, hard.to(kind))[1])


def test_ten_million_negatives():
    """Against the same loss on the relevant negatives alone, whose order is another."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(10_000_050, generator=generator).mul_(1.2).sub_(5)
    targets = torch.zeros(logits.numel(), dtype=torch.int8)
    targets[::200_001] = 1
    logits[targets == 1] += 6
    logits.requires_grad_()
    value = ap_loss(logits, targets)
    (gradient,) = gradient_of(value, logits)
    kept = torch.nonzero((targets == 1) | (logits.detach() > logits[targets == 1].min() - 1))
    kept = kept.squeeze(1).flip(0)
    few = logits.detach()[kept].requires_grad_()
    expected = ap_loss(few, targets[kept])
    close(value, expected, 1e-6)
    close(gradient[kept], gradient_of(expected, few)[0], 1e-6)
    assert gradient.count_nonzero() <= kept.numel()


def test_every_second_logit(loss):
    """Views with gaps are lists like any other."""
    logits, targets, _ = trained_like(20, 300, dtype=torch.float32)
    wide = torch.stack((logits, torch.full_like(logits, 99.0)), 1).requires_grad_()
    values = loss(wide[:, 0], torch.stack((targets, targets + 9), 1)[:, 0])
    total = sum(values) if isinstance(values, tuple) else values
    expected, gradient = run(loss, logits, targets)
    assert total == expected
    assert torch.equal(gradient_of(total, wide)[0][:, 0], gradient)
