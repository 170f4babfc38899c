"""Autocast, repeated and threaded runs, modules, weights, a step that learns."""

import pickle
import subprocess
import sys

import pytest
import torch

from rankdet import losses
from rankdet.losses import alrp_loss, ap_loss, parameterized_ap_loss, rank_sort_loss
from tests.unit.losses.problems import gradient_of, trained_like


def parameterized(logits, targets, errors):
    qualities = torch.zeros_like(logits).masked_scatter(targets > 0, errors)
    return parameterized_ap_loss(
        logits, qualities, targets, losses.SEARCHED_CONTROL_POINTS["retina"]
    )


LOSSES = {
    "ap": lambda s, t, e: ap_loss(s, t),
    "alrp": lambda s, t, e: sum(alrp_loss(s, t, e)),
    "rank_sort": lambda s, t, e: sum(rank_sort_loss(s, t)),
    "parameterized": parameterized,
    "bucketed": lambda s, t, e: sum(losses.bucketed_rank_sort_loss(s, t)),
}


@pytest.fixture(params=LOSSES, ids=str)
def loss(request):
    return LOSSES[request.param]


def run(loss, logits, targets, errors):
    value = loss(logits, targets, errors)
    return value.detach(), gradient_of(value, logits)[0]


def test_autocast_changes_nothing(loss):
    logits, targets, errors = trained_like(60, 3_000, dtype=torch.float32)
    logits.requires_grad_()
    expected = run(loss, logits, targets, errors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = run(loss, logits, targets, errors)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_behind_a_layer_under_autocast():
    """The usual case: a head in bfloat16, the loss on its logits."""
    torch.manual_seed(0)
    head, features = torch.nn.Linear(8, 1), torch.randn(500, 8)
    targets = (torch.rand(500) < 0.05).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(features).flatten()
        assert logits.dtype == torch.bfloat16
        value = ap_loss(logits, targets)
    assert value.dtype == torch.float32
    value.backward()
    assert head.weight.grad.abs().sum() > 0


def test_runs_and_threads_give_the_same_bits(loss):
    logits, targets, errors = trained_like(400, 200_000, dtype=torch.float32)
    logits.requires_grad_()
    before = torch.get_num_threads()
    found = []
    for threads in (1, 1, 2, 4):
        torch.set_num_threads(threads)
        found.append(run(loss, logits, targets, errors))
    torch.set_num_threads(before)
    for value, gradient in found[1:]:
        assert torch.equal(value, found[0][0])
        assert torch.equal(gradient, found[0][1])


def test_deterministic_mode_is_content(loss):
    logits, targets, errors = trained_like(60, 3_000, dtype=torch.float32)
    logits.requires_grad_()
    expected = run(loss, logits, targets, errors)
    torch.use_deterministic_algorithms(True)
    try:
        found = run(loss, logits, targets, errors)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(found[1], expected[1])


def test_modules_do_what_the_functions_do():
    logits, targets, errors = trained_like(30, 500)
    logits.requires_grad_()
    qualities = torch.zeros_like(logits).masked_scatter(targets > 0, errors)
    rows = losses.SEARCHED_CONTROL_POINTS["rpn"]
    pairs = [
        (losses.ApLoss(0.7)(logits, targets), ap_loss(logits, targets, delta=0.7)),
        (losses.AlrpLoss()(logits, targets, errors), alrp_loss(logits, targets, errors)),
        (losses.RankSortLoss(0)(logits, targets), rank_sort_loss(logits, targets, delta=0)),
        (losses.BucketedApLoss()(logits, targets), losses.bucketed_ap_loss(logits, targets)),
        (
            losses.BucketedRankSortLoss()(logits, targets),
            losses.bucketed_rank_sort_loss(logits, targets),
        ),
        (
            losses.ParameterizedApLoss(rows, top_k=90)(logits, qualities, targets),
            parameterized_ap_loss(logits, qualities, targets, rows, top_k=90),
        ),
    ]
    for ours, expected in pairs:
        assert ours == expected
    assert repr(losses.ApLoss(0.7)) == "ApLoss(delta=0.7)"
    assert not list(losses.RankSortLoss().parameters())


def test_used_modules_go_into_a_file():
    logits, targets, errors = trained_like(30, 500)
    logits.requires_grad_()
    qualities = targets.clamp(min=0)
    rows = losses.SEARCHED_CONTROL_POINTS["rpn"]
    for module, given in (
        (losses.ApLoss(), (logits, targets)),
        (losses.AlrpLoss(), (logits, targets, errors)),
        (losses.RankSortLoss(), (logits, targets)),
        (losses.BucketedRankSortLoss(), (logits, targets)),
        (losses.ParameterizedApLoss(rows), (logits, qualities, targets)),
    ):
        value = module(*given)
        assert pickle.loads(pickle.dumps(module))(*given) == value


def test_backward_twice_and_a_weight(loss):
    logits, targets, errors = trained_like(30, 500)
    logits.requires_grad_()
    value = loss(logits, targets, errors)
    once = gradient_of(value, logits)[0]
    assert torch.equal(gradient_of(value, logits)[0], once)
    torch.testing.assert_close(gradient_of(-3 * value, logits)[0], -3 * once)


def test_the_inputs_are_left_alone(loss):
    logits, targets, errors = trained_like(30, 500)
    before = logits.clone(), targets.clone(), errors.clone()
    run(loss, logits.requires_grad_(), targets, errors)
    for now, then in zip((logits, targets, errors), before, strict=True):
        assert torch.equal(now, then)


def test_descent_ranks_the_positives_first(loss):
    """Following the gradient alone brings every loss down."""
    logits, targets, errors = trained_like(20, 400, dtype=torch.float32)
    logits = logits.requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=20.0, momentum=0.5)
    first = loss(logits, targets, errors).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss(logits, targets, errors).backward()
        optimizer.step()
    assert logits[targets > 0].mean() > logits[targets == 0].mean() + 3
    assert loss(logits, targets, errors).item() < 0.95 * first


def test_the_floor_is_torch_alone():
    code = (
        "import sys, rankdet.losses; print([m for m in ('mmdet', 'mmcv', 'mmengine', 'pandas',"
        " 'torch._dynamo') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
