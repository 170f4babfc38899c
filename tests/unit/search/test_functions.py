"""Numbers of a sample and what they mean."""

import numpy as np
import pytest
import torch

from rankdet.errors import InputError
from rankdet.losses import parameterized_ap_loss
from rankdet.losses.parameterized_ap import SEARCHED_CONTROL_POINTS, check_control_points
from rankdet.search.policy import PER_HEAD, START, control_points, gradient_scale, meaning


def test_a_head_has_41_numbers():
    assert len(START) == PER_HEAD == 41


def test_the_start_is_the_identity_and_a_scale_of_1():
    head = meaning(START, ["retina"])["retina"]
    line = np.repeat([0, 0.2, 0.4, 0.6, 0.8, 1.0], 2)
    np.testing.assert_allclose(head["control_points"], np.tile(line, (5, 1)), atol=1e-15)
    assert head["box_gradient_scale"] == 1.0


def test_the_ends_of_the_mapping():
    assert control_points([0.0] * 8) == [0.0] * 10 + [1.0, 1.0]
    assert control_points([1.0] * 8) == [0.0, 0.0] + [1.0] * 10
    assert [gradient_scale(share) for share in (0, 0.5, 1)] == pytest.approx([0.1, 1, 10])


def test_a_stick_is_broken_by_hand():
    row = control_points([0.5, 0.1, 0.5, 0.2, 0.0, 0.5, 1.0, 0.0])
    assert row == pytest.approx([0, 0, 0.5, 0.1, 0.75, 0.28, 0.75, 0.64, 1, 0.64, 1, 1])


def shares_of(row):
    found = []
    for place in range(2, 10):
        before = row[place - 2]
        found.append((row[place] - before) / (1 - before))
    return found


@pytest.mark.parametrize("head", SEARCHED_CONTROL_POINTS)
def test_the_published_points_can_be_reached(head):
    for row in SEARCHED_CONTROL_POINTS[head]:
        shares = shares_of(row)
        assert min(shares) >= 0 and max(shares) <= 1
        np.testing.assert_allclose(control_points(shares), row, atol=1e-12)


@pytest.mark.parametrize("shares", ["zeros", "ones", "random"])
def test_every_sample_is_a_loss_with_a_gradient(shares):
    draw = np.random.default_rng(0)
    for _ in range(1 if shares != "random" else 20):
        theta = {"zeros": np.zeros(82), "ones": np.ones(82), "random": draw.random(82)}[shares]
        heads = meaning(theta.tolist(), ["rpn", "roi"])
        assert list(heads) == ["rpn", "roi"]
        for head in heads.values():
            rows = check_control_points(head["control_points"])
            logits = torch.randn(30, requires_grad=True)
            quality = torch.rand(30, requires_grad=True)
            loss = parameterized_ap_loss(logits, quality, (torch.arange(30) < 5).float(), rows)
            loss.backward()
            assert loss.isfinite() and logits.grad.isfinite().all()
            assert quality.grad.isfinite().all()


@pytest.mark.parametrize("theta", [[0.5] * 40, [0.5] * 40 + [1.01], [-0.1] + [0.5] * 40])
def test_numbers_that_mean_nothing_are_refused(theta):
    with pytest.raises(InputError, match="41 numbers"):
        meaning(theta, ["retina"])
