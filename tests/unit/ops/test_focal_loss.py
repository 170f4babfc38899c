"""Sigmoid focal loss: the paper's formula, mmdet's Python version, and derivatives."""

import math

import mmcv.ops
import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss

LOGITS = torch.linspace(-12, 12, 60, dtype=torch.float64).view(12, 5)
TARGETS = torch.tensor([0, 1, 2, 3, 4, 5, 5, 5, 0, 1, 5, 4])  # 5 is background


@pytest.fixture
def loss(ours, through_mmcv):
    through_mmcv("focal_loss", ours)
    return mmcv.ops.sigmoid_focal_loss


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (1.5, 0.4)])
def test_the_formula(loss, gamma, alpha):
    found = loss(LOGITS, TARGETS, gamma, alpha, None, "none")
    for row, target in enumerate(TARGETS.tolist()):
        for column in range(5):
            p = 1 / (1 + math.exp(-LOGITS[row, column].item()))
            own, factor = (p, alpha) if column == target else (1 - p, 1 - alpha)
            wanted = -factor * (1 - own) ** gamma * math.log(own)
            assert found[row, column].item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_mmdets_python_version_and_its_gradient(loss, reduction):
    one_hot = torch.nn.functional.one_hot(TARGETS, 6)[:, :5]
    leaves = [LOGITS.clone().requires_grad_() for _ in range(2)]
    found = loss(leaves[0], TARGETS, 2.0, 0.25, None, reduction)
    wanted = py_sigmoid_focal_loss(leaves[1], one_hot, reduction="none")
    wanted = {"none": wanted, "sum": wanted.sum(), "mean": wanted.sum() / 12}[reduction]
    torch.testing.assert_close(found, wanted)
    scale = torch.rand(found.shape, generator=torch.Generator().manual_seed(0))
    for value in (found, wanted):
        (value * scale).sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


def test_the_gradient_is_the_derivative(loss):
    weight = torch.tensor([1, 2, 0.5, 1, 3], dtype=torch.float64)
    logits = LOGITS[TARGETS < 5].clone().requires_grad_()

    def function(values):
        return loss(values, TARGETS[TARGETS < 5], 1.5, 0.4, weight, "sum")

    assert torch.autograd.gradcheck(function, logits)


def test_weights_are_of_the_rows_class(loss):
    weight = torch.tensor([1, 2, 0.5, 1, 3], dtype=torch.float64)
    rows = TARGETS < 5
    plain = loss(LOGITS[rows], TARGETS[rows], 2.0, 0.25, None, "none")
    found = loss(LOGITS[rows], TARGETS[rows], 2.0, 0.25, weight, "none")
    torch.testing.assert_close(found, plain * weight[TARGETS[rows]][:, None])


def test_the_largest_logits_give_finite_losses_and_gradients(loss):
    logits = torch.tensor([[-200.0, 200.0], [3e38, -3e38]], requires_grad=True)
    value = loss(logits, torch.tensor([0, 2]), 2.0, 0.25, None, "none")
    value.sum().backward()
    assert value.isfinite().all() and logits.grad.isfinite().all()
    # mmcv takes the logarithm of no number below the smallest normal one.
    smallest = torch.finfo(torch.float32).tiny
    assert value[0, 0].item() == pytest.approx(-0.25 * math.log(smallest), rel=1e-5)
