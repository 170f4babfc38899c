"""Focal loss weighted by the effective number of objects of each class."""

import numpy as np
import pytest
import torch
from mmdet.models.losses import FocalLoss

from rankdet.errors import InputError
from rankdet.models.class_balance import ClassBalancedFocalLoss

COUNTS = [1000, 100, 10]


def data(seed=0):
    draw = torch.Generator().manual_seed(seed)
    pred = torch.randn(40, 3, generator=draw)
    return pred, torch.randint(0, 4, (40,), generator=draw)  # 3 is the background


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999])
def test_each_positive_has_the_weight_of_its_class(beta):
    pred, target = data()
    counts = np.array(COUNTS, float)
    weights = (1 - beta) / (1 - beta**counts)
    weights = np.append(weights * 3 / weights.sum(), 1.0)
    plain = FocalLoss()(pred, target, reduction_override="none").numpy()
    found = ClassBalancedFocalLoss(COUNTS, beta)(pred, target, reduction_override="none")
    np.testing.assert_allclose(found.numpy(), plain * weights[target][:, None], rtol=1e-6)


def test_beta_zero_is_plain_focal_loss():
    pred, target = data(1)
    found = ClassBalancedFocalLoss(COUNTS, 0.0)(pred, target, avg_factor=7.0)
    assert torch.equal(found, FocalLoss()(pred, target, avg_factor=7.0))


def test_given_weights_are_multiplied():
    pred, target = data(2)
    weight = torch.rand(40)
    loss = ClassBalancedFocalLoss(COUNTS)
    each = loss(pred, target, reduction_override="none")
    found = loss(pred, target, weight, reduction_override="none")
    torch.testing.assert_close(found, each * weight[:, None])


def test_a_class_without_objects_has_a_finite_weight():
    assert torch.isfinite(ClassBalancedFocalLoss([5, 0]).weights).all()


@pytest.mark.parametrize(("counts", "beta"), [([1], 1.0), ([1], -0.1), ([-1, 2], 0.9)])
def test_impossible_settings_are_refused(counts, beta):
    with pytest.raises(InputError, match=r"beta in \[0, 1\) and counts from 0"):
        ClassBalancedFocalLoss(counts, beta)
