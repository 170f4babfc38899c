"""The policy: densities, schedules, one update by hand, and a bandit of known optimum."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from rankdet.errors import InputError
from rankdet.search.policy import (
    CLIP,
    SIGMA,
    Policy,
    log_density,
    next_sigma,
    objective,
    rate_factor,
    update,
)


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.parametrize("mean", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("sigma", [0.2, 0.005])
def test_the_density_is_that_of_a_truncated_normal(mean, sigma):
    points = torch.linspace(0, 1, 11, dtype=torch.float64)
    ours = log_density(points, torch.tensor(mean, dtype=torch.float64), sigma)
    reference = stats.truncnorm.logpdf(
        points.numpy(), -mean / sigma, (1 - mean) / sigma, loc=mean, scale=sigma
    )
    np.testing.assert_allclose(ours.numpy(), reference, rtol=1e-9, atol=1e-9)


def test_samples_follow_the_density():
    policy = Policy.around([0.1, 0.6])
    drawn = np.array([policy.sample(3, 0, index) for index in range(2000)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    for column, mean in zip(drawn.T, policy.mean, strict=True):
        cut = (-mean / SIGMA, (1 - mean) / SIGMA, mean, SIGMA)
        assert stats.kstest(column, stats.truncnorm(*cut).cdf).pvalue > 0.01


def test_a_sample_depends_on_seed_round_and_index_alone():
    policy = Policy.around([0.3] * 5)
    later = policy.sample(0, 1, 3)
    assert policy.sample(0, 1, 3) == later
    assert (
        len({tuple(policy.sample(*key)) for key in [(0, 1, 3), (1, 1, 3), (0, 2, 3), (0, 1, 2)]})
        == 4
    )


def test_sigma_falls_in_equal_steps_and_stays_in_the_last_round():
    sigma, seen = SIGMA, []
    for turn in range(40):
        seen.append(sigma)
        sigma = next_sigma(sigma, turn, 40)
    np.testing.assert_allclose(seen, [0.2 * (1 - turn / 40) for turn in range(40)], rtol=1e-12)
    assert sigma == seen[-1] == pytest.approx(0.005)
    assert next_sigma(0.2, 0, 1) == 0.2  # a search of one round


def test_the_rate_rises_over_30_steps_and_falls_to_nothing():
    assert [rate_factor(step) for step in (0, 15, 30, 65)] == [0, 0.5, 1, 0.5]
    assert rate_factor(99) == pytest.approx(1 / 70)


def test_the_objective_clips_each_dimension_before_the_product():
    ratio = torch.tensor([[0.5, -0.02], [0.05, 0.05], [-1.0, 0.3]], dtype=torch.float64)
    advantage = torch.tensor([2.0, -1.0, -3.0], dtype=torch.float64)
    low, high = CLIP
    by_hand = [
        min(2 * math.exp(0.48), 2 * math.exp(high - 0.02)),
        -math.exp(0.1),
        min(-3 * math.exp(-0.7), -3 * math.exp(low + high)),
    ]
    assert float(objective(ratio, advantage)) == pytest.approx(sum(by_hand) / 3, rel=1e-12)


def test_the_first_step_of_adam_is_the_rate_in_the_direction_of_the_better_sample():
    """At step 0 the rate is 0; at step 1 Adam moves by the rate itself, 0.01 / 30."""
    policy = Policy.around([0.5, 0.5])
    moved = update(policy, [[0.6, 0.45], [0.4, 0.55]], [1.0, 0.0], SIGMA, steps=2)
    np.testing.assert_allclose(moved.logits, [0.01 / 30, -0.01 / 30], rtol=1e-5)


def by_hand(mean, thetas, rewards, sigma, new_sigma):
    """The update of one dimension with plain floats: central differences, written-out Adam."""

    def density(theta, mu, s):
        return stats.truncnorm.logpdf(theta, -mu / s, (1 - mu) / s, loc=mu, scale=s)

    advantage = [reward - sum(rewards) / len(rewards) for reward in rewards]
    drawn = [density(theta, mean, sigma) for theta in thetas]

    def loss(at):
        mu, total = 1 / (1 + math.exp(-at)), 0.0
        for theta, before, a in zip(thetas, drawn, advantage, strict=True):
            ratio = density(theta, mu, new_sigma) - before
            total += min(math.exp(ratio) * a, math.exp(min(max(ratio, CLIP[0]), CLIP[1])) * a)
        return -total / len(thetas)

    place, first, second = logit(mean), 0.0, 0.0
    for step in range(100):
        slope = (loss(place + 1e-6) - loss(place - 1e-6)) / 2e-6
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        rate = 0.01 * (step / 30 if step < 30 else (100 - step) / 70)
        ahead = first / (1 - 0.9 ** (step + 1))
        spread = math.sqrt(second / (1 - 0.999 ** (step + 1)))
        place -= rate * ahead / (spread + 1e-8)
    return place


def test_an_update_is_what_written_out_arithmetic_gives():
    thetas, rewards = [0.31, 0.52, 0.18, 0.44], [0.2, 0.5, 0.1, 0.3]
    policy = Policy((logit(0.35),), 0.2)
    ours = update(policy, [[theta] for theta in thetas], rewards, 0.195)
    assert ours.logits[0] == pytest.approx(by_hand(0.35, thetas, rewards, 0.2, 0.195), abs=1e-4)
    assert ours.mean[0] > 0.35 and ours.sigma == 0.195


def test_equal_rewards_change_nothing_but_sigma():
    policy = Policy.around([0.2, 0.7])
    moved = update(policy, [[0.1, 0.9], [0.3, 0.3]], [0.4, 0.4], 0.1)
    np.testing.assert_allclose(moved.logits, policy.logits, atol=1e-12)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(s, marks=pytest.mark.heavy) for s in (1, 2, 3))]
)
def test_the_mean_reaches_the_optimum_of_a_bandit(seed):
    """40 rounds of 8, reward falling with the distance from a known point."""
    best, policy = np.array([0.3, 0.6]), Policy.around([0.5, 0.4])
    for turn in range(40):
        thetas = [policy.sample(seed, turn, index) for index in range(8)]
        rewards = [float(-((np.array(theta) - best) ** 2).sum()) for theta in thetas]
        policy = update(policy, thetas, rewards, next_sigma(policy.sigma, turn, 40))
    assert np.abs(np.array(policy.mean) - best).max() < 0.05, policy.mean


@pytest.mark.parametrize("rewards", [[0.1], [0.1, float("nan")], [], [0.1, 0.2, 0.3]])
def test_rewards_that_do_not_fit_are_refused(rewards):
    with pytest.raises(InputError, match="a finite reward for each sample"):
        update(Policy.around([0.5]), [[0.4], [0.6]], rewards, 0.1)
