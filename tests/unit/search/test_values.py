"""The numbers of the published search (DETECTORS.md 5.1), and the searches of the file."""

import math

import pytest

from rankdet.search import policy, proxy
from rankdet.search.plan import load_plans
from rankdet.search.policy import FUNCTIONS, INNER, PER_HEAD, START, gradient_scale

PAPER = dict(
    preset="paper",
    data="coco",
    val_images=5000,  # "5k held out as search_val"
    rounds=40,
    samples=8,  # "40 x 8"
    seed=42,
    epochs=1,  # "1 epoch of search_train"
    iterations=None,
    batch_size=64,  # "8x8"
    apply_gradient_scale=True,
    use="best",
    threads=8,
    gpu=1,
)
PLANS = {
    "retinanet": PAPER | dict(entry="pap_pap_retinanet_r50", heads=("retina",)),
    "faster_rcnn": PAPER | dict(entry="pap_pap_frcnn_r50", heads=("rpn", "roi")),
    "demo": PAPER
    | dict(
        entry="pap_pap_retinanet_r50",
        heads=("retina",),
        preset="demo",
        data="digits",
        val_images=100,
        rounds=4,
        samples=4,
        seed=0,
        epochs=None,
        iterations=100,
        batch_size=8,
        threads=1,
        gpu=0,
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name):
    found = vars(load_plans()[name])
    assert found == PLANS[name] | dict(name=name)


def test_there_is_no_other_plan():
    assert set(load_plans()) == set(PLANS)


def test_sampling_and_update():
    assert policy.SIGMA == 0.2  # "sigma 0.2 for all"
    # "a new Adam(lr 0.01) on mu logits, 100 steps, lr factor 0->1 over 30 steps"
    assert (policy.STEPS, policy.WARM_UP, policy.LEARNING_RATE) == (100, 30, 0.01)
    assert (math.log(0.9), math.log(1.1)) == policy.CLIP  # "to [log 0.9, log 1.1]"


def test_parameters():
    assert FUNCTIONS == ("H2", "I2", "I3", "I1", "H1")
    assert (INNER, PER_HEAD) == (4, 41)  # "41 for RetinaNet, 82 for Faster R-CNN"
    third = 1 / 3
    # "mu0 per function [.2,.2,.25,.25,1/3,1/3,.5,.5], gradient-scale mu0 0.5"
    row = [0.2, 0.2, 0.25, 0.25, third, third, 0.5, 0.5]
    assert list(START) == pytest.approx([*row * 5, 0.5], rel=1e-12)
    assert [gradient_scale(share) for share in (0, 0.5, 1)] == pytest.approx([0.1, 1, 10])


def test_fail_rule_and_reward():
    assert proxy.MOST_WITHOUT_LOSS == 50  # "more than 50 iterations"
    assert proxy.NMS_IOU == 0.5  # "score 0.05, NMS 0.5"
    assert proxy.DECIMALS == 3  # mmdet 2 logs an AP to three decimals
