"""Numeric options: every real number gives the same loss, everything else is refused."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from rankdet import losses
from rankdet.errors import InputError
from rankdet.losses import SEARCHED_CONTROL_POINTS, ParameterizedApLoss, SelfBalance
from tests.unit.losses.problems import trained_like

LOGITS, TARGETS, ERRORS = trained_like(6, 50)
LOGITS.requires_grad_()
FUNCTIONS = {
    "ap_loss": (losses.ap_loss, losses.ApLoss, (LOGITS, TARGETS), ["delta"]),
    "alrp_loss": (losses.alrp_loss, losses.AlrpLoss, (LOGITS, TARGETS, ERRORS), ["delta", "eps"]),
    "rank_sort": (losses.rank_sort_loss, losses.RankSortLoss, (LOGITS, TARGETS), ["delta", "eps"]),
    "bucketed_ap": (
        *(losses.bucketed_ap_loss, losses.BucketedApLoss),
        *((LOGITS, TARGETS), ["delta", "eps"]),
    ),
    "bucketed_rank_sort": (
        *(losses.bucketed_rank_sort_loss, losses.BucketedRankSortLoss),
        *((LOGITS, TARGETS), ["delta", "eps"]),
    ),
}
OPTIONS = [(name, option) for name, (*_, options) in FUNCTIONS.items() for option in options]
HALVES = [np.float64(0.5), np.float32(0.5), np.float16(0.5), np.longdouble(0.5), Fraction(1, 2)]
ONES = [1, np.int8(1), np.int64(1), np.uint8(1)]


def values(result):
    return [each.item() for each in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_real_numbers(name, option):
    function, module, inputs, _ = FUNCTIONS[name]
    for plain, equal in ((0.5, HALVES), (1.0, ONES)):
        expected = values(function(*inputs, **{option: plain}))
        for number in equal:
            assert values(function(*inputs, **{option: number})) == expected
            built = module(**{option: number})
            assert values(built(*inputs)) == expected
            assert f"{option}={plain}" in repr(built)


@pytest.mark.parametrize(
    "value",
    [
        *(True, np.bool_(False), None, "0.5", [0.5], 1j, -1, np.float32(-1), np.nan, np.inf),
        *(np.float32("inf"), 10**400, -(10**5000)),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_what_is_no_number(name, option, value):
    function, module, inputs, _ = FUNCTIONS[name]
    for call in (lambda: function(*inputs, **{option: value}), lambda: module(**{option: value})):
        with pytest.raises(InputError, match=f"expected {option} as a finite number >=? ?0?"):
            call()


@pytest.mark.parametrize(
    "value", [torch.tensor(0.5), torch.tensor([0.5]), np.array(0.5), np.array([0.5, 1])]
)
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_tensors_are_to_be_read_by_the_caller(name, option, value):
    function, _, inputs, _ = FUNCTIONS[name]
    with pytest.raises(InputError, match=rf"give float\({option}\)$"):
        function(*inputs, **{option: value})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_widths_that_overflow(name):
    function, _, inputs, _ = FUNCTIONS[name]
    for value in (5e-324, 1e-301, 1e301, 1.7e308):
        with pytest.raises(InputError, match="expected delta from 1e-300 to 1e"):
            function(*inputs, delta=value)
    # A window far wider than the logits counts every pair as one half.
    assert all(np.isfinite(values(function(*inputs, delta=1e300))))


@pytest.mark.parametrize("build", [SelfBalance, lambda n: SelfBalance(2, passes=n)])
def test_counts_of_self_balance(build):
    assert build(np.int64(3)).fresh().period in (2, 3)
    for value in (True, 0, -1, 2.0, np.float64(2), "2", None, torch.tensor(2), 10**400 * -1):
        with pytest.raises(InputError, match=">= 1"):
            build(value)


def test_the_first_weight():
    check_first_weight(lambda value: SelfBalance(2, value))


def check_first_weight(build):
    assert build(np.float32(2)).weight == build(2).weight == 2
    for value in (True, np.nan, -1, "50", np.inf):
        with pytest.raises(InputError, match="initial as a finite number >= 0"):
            build(value)


def test_top_k():
    options = {"form": "linear"}
    inputs = (LOGITS, torch.zeros_like(LOGITS), TARGETS)
    expected = losses.parameterized_ap_loss(*inputs, top_k=9, **options)
    assert losses.parameterized_ap_loss(*inputs, top_k=np.int16(9), **options) == expected
    for value in (True, 0, 9.0, np.float64(9), "9", torch.tensor(9)):
        with pytest.raises(InputError, match="top_k >= 1"):
            losses.parameterized_ap_loss(*inputs, top_k=value, **options)
        with pytest.raises(InputError, match="top_k >= 1"):
            ParameterizedApLoss(top_k=value, **options)


def test_control_points():
    rows = SEARCHED_CONTROL_POINTS["rpn"]
    inputs = (LOGITS, torch.zeros_like(LOGITS), TARGETS)
    expected = losses.parameterized_ap_loss(*inputs, rows)
    for same in (np.array(rows), [np.array(row) for row in rows], torch.tensor(rows).double()):
        torch.testing.assert_close(losses.parameterized_ap_loss(*inputs, same), expected)
    for value in (True, "0.5", None, np.nan, 10**5000, [0.5]):
        changed = [list(row) for row in rows]
        changed[2][4] = value
        with pytest.raises(InputError, match="control") as refusal:
            losses.parameterized_ap_loss(*inputs, changed)
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400
