"""A wrong input is a ValueError that says what was expected, what came and what to do."""

import pytest
import torch

from rankdet.errors import InputError
from rankdet.losses import (
    SEARCHED_CONTROL_POINTS,
    ApLoss,
    ParameterizedApLoss,
    RankSortLoss,
    SelfBalance,
    alrp_loss,
    ap_loss,
    bucketed_ap_loss,
    parameterized_ap_loss,
    rank_sort_loss,
)

ROWS = SEARCHED_CONTROL_POINTS["retina"]


def logits(count=4, **options):
    return torch.linspace(-1, 1, count, **options).requires_grad_()


TARGETS = torch.tensor([1, 0, 0, -1])
LOSSES = [
    ap_loss,
    rank_sort_loss,
    bucketed_ap_loss,
    lambda s, t, **o: alrp_loss(s, t, torch.ones(1), **o),
    lambda s, t, **o: parameterized_ap_loss(s, torch.zeros(4), t, form="linear", **o),
]


@pytest.fixture(params=LOSSES, ids=["ap", "rank_sort", "bucketed", "alrp", "parameterized"])
def loss(request):
    return request.param


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((logits().detach().reshape(2, 2).requires_grad_(), TARGETS), r"logits of shape \[n\]"),
        ((logits(), TARGETS.reshape(2, 2)), r"targets of shape \[n\]"),
        ((logits(), TARGETS[:3]), "targets of shape .4., one per logit"),
        ((torch.arange(4), TARGETS), "floating-point logits; got torch.int64"),
        ((logits(), TARGETS > 0), "integer or float targets; got torch.bool"),
        ((logits(), [1, 0, 0, 0]), "targets as a tensor; got list"),
        ((logits(), torch.tensor([17, 0, 0, 0])), "not class indices"),
        ((logits(), torch.tensor([-2, 1, 0, 0])), "targets -1"),
        ((logits(), torch.tensor([0.5, -0.5, 0, 0])), "1 of them between -1 and 0"),
        ((logits(), torch.tensor([torch.nan, 1.0, 0, 0])), "targets -1"),
        ((logits().detach(), TARGETS), "logits that require grad.*torch.no_grad"),
    ],
)
def test_inputs(loss, inputs, message):
    with pytest.raises(ValueError, match=message):
        loss(*inputs)


def test_the_error_is_the_packages_own():
    with pytest.raises(InputError, match=r"^expected .*; got .*; .*"):
        ap_loss(logits(), TARGETS[:2])


@pytest.mark.parametrize("delta", [-1.0, float("nan"), float("inf"), "1", True])
@pytest.mark.parametrize("loss", LOSSES[:4], ids=["ap", "rank_sort", "bucketed", "alrp"])
def test_delta(loss, delta):
    with pytest.raises(InputError, match="delta as a finite number"):
        loss(logits(), TARGETS, delta=delta)


def test_only_rank_sort_knows_the_hard_step():
    assert rank_sort_loss(logits(), TARGETS, delta=0)[0].item() == pytest.approx(2 / 3)
    with pytest.raises(InputError, match="delta as a finite number > 0"):
        ap_loss(logits(), TARGETS, delta=0)


def test_eps():
    with pytest.raises(InputError, match="eps as a finite number"):
        rank_sort_loss(logits(), TARGETS, eps=-1e-10)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (torch.ones(2), r"of shape \[1\], one per positive; got shape \[2\]; .*targets > 0"),
        (torch.ones(4), r"of shape \[1\]"),
        (torch.ones(1, 1), r"float tensor of shape \[P\]"),
        (torch.ones(1, dtype=torch.int64), "float tensor"),
        (torch.tensor([-0.5]), "finite and >= 0"),
        (torch.tensor([torch.nan]), "finite and >= 0"),
        (torch.tensor([torch.inf]), "finite and >= 0"),
        (0.5, "got float"),
    ],
)
def test_localization_errors(errors, message):
    with pytest.raises(InputError, match=message):
        alrp_loss(logits(), TARGETS, errors)


def test_rounding_of_boxes_is_not_a_mistake():
    """1 - GIoU of a perfect box, and its IoU, come out just outside their ranges."""
    alrp_loss(logits(), TARGETS, torch.tensor([-1.2e-7]))
    rank_sort_loss(logits(), torch.tensor([1.0000001, 0, 0, 0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control_points": None}, "control_points for form='searched'; got None"),
        ({"control_points": ROWS[:3]}, "4 or 5 rows"),
        ({"control_points": [row[:10] for row in ROWS]}, "rows of 8, 12 or 16 numbers"),
        ({"control_points": [[0, 0, 0.5, 0.2, 0.4, 0.3, 1, 1]] * 4}, "x never falling"),
        ({"control_points": [[0, 0.1, 0.5, 0.2, 0.6, 0.3, 1, 1]] * 4}, r"from \(0, 0\)"),
        ({"control_points": [[0, 0, 0.5, 1.2, 0.6, 0.3, 1, 1]] * 4}, "unit square"),
        ({"control_points": 5}, "4 or 5 rows"),
        ({"control_points": ROWS, "top_k": 0}, "top_k >= 1"),
        ({"form": "cubic"}, "searched, sigmoid, linear, square; got 'cubic'"),
    ],
)
def test_parameterized_ap(options, message):
    with pytest.raises(InputError, match=message):
        parameterized_ap_loss(logits(), torch.zeros(4), TARGETS, **options)
    with pytest.raises(InputError, match=message):
        ParameterizedApLoss(**options)


@pytest.mark.parametrize("quality", [-0.2, 1.2, torch.nan])
def test_qualities(quality):
    qualities = torch.tensor([quality, 0, 0, 0])
    with pytest.raises(InputError, match=r"qualities in \[0, 1\]"):
        parameterized_ap_loss(logits(), qualities, TARGETS, form="linear")
    with pytest.raises(InputError, match="qualities of shape"):
        parameterized_ap_loss(logits(), qualities[:1], TARGETS, form="linear")


def test_modules_check_their_settings_when_built():
    for build in (lambda: ApLoss(delta=0), lambda: RankSortLoss(eps=-1), lambda: SelfBalance(0)):
        with pytest.raises(InputError):
            build()


def test_the_value_alone_needs_no_grad(loss):
    with torch.no_grad():
        value = loss(logits().detach(), TARGETS)
    with torch.inference_mode():
        again = loss(logits().detach(), TARGETS)
    first = value[0] if isinstance(value, tuple) else value
    assert not first.requires_grad
    assert first == (again[0] if isinstance(again, tuple) else again)
