"""Global defaults of PyTorch, for devices and data types, change no loss."""

import pytest
import torch

from rankdet.losses import (
    SEARCHED_CONTROL_POINTS,
    SelfBalance,
    alrp_loss,
    ap_loss,
    bucketed_ap_loss,
    bucketed_rank_sort_loss,
    parameterized_ap_loss,
    rank_sort_loss,
    scale_to_value,
)
from tests.unit.losses.problems import trained_like


def parameterized(form):
    def loss(logits, targets, errors):
        qualities = torch.zeros_like(logits)
        qualities[targets > 0] = errors.to(logits.dtype)
        rows = SEARCHED_CONTROL_POINTS["roi"] if form == "searched" else None
        return parameterized_ap_loss(logits, qualities, targets, rows, form=form)

    return loss


LOSSES = {
    "ap": lambda s, t, e: ap_loss(s, t),
    "alrp": alrp_loss,
    "rank_sort": lambda s, t, e: rank_sort_loss(s, t),
    "rank_sort_step": lambda s, t, e: rank_sort_loss(s, t, delta=0),
    "bucketed_ap": lambda s, t, e: bucketed_ap_loss(s, t),
    "bucketed_rank_sort": lambda s, t, e: bucketed_rank_sort_loss(s, t),
    **{form: parameterized(form) for form in ("searched", "sigmoid", "linear", "square")},
}


def run(loss, logits, *others):
    logits = logits.clone().requires_grad_()
    values = loss(logits, *others)
    values = values if isinstance(values, tuple) else (values,)
    sum(values).backward()
    return *values, logits.grad


@pytest.fixture(params=["device", "device context", "float64", "float16", "bfloat16"])
def other_default(request):
    """Change one default; a computation that relies on it then fails or rounds differently."""
    saved = torch.get_default_dtype()
    if request.param == "device":
        torch.set_default_device("meta")
        yield
        torch.set_default_device(None)
    elif request.param == "device context":
        with torch.device("meta"):
            yield
    else:
        torch.set_default_dtype(getattr(torch, request.param))
        yield
        torch.set_default_dtype(saved)


@pytest.fixture(params=[torch.float64, torch.float32, torch.float16], ids=str)
def problem(request, name, positives):
    """The inputs and the expected results; requested before the default changes."""
    inputs = trained_like(positives, 400, dtype=request.param)
    return inputs, run(LOSSES[name], *inputs)


@pytest.mark.parametrize("positives", [0, 90])  # 90: the sorting part splits them into groups
@pytest.mark.parametrize("name", LOSSES)
def test_the_same_bits(name, positives, problem, other_default):
    inputs, expected = problem
    for value, ours in zip(expected, run(LOSSES[name], *inputs), strict=True):
        assert ours.device.type == "cpu" and ours.dtype == value.dtype
        assert torch.equal(ours, value)


def test_self_balance_is_made_on_the_default_device_and_used_where_it_is(other_default):
    balance = SelfBalance(1)
    assert balance.weight.dtype == torch.float64
    if balance.weight.is_meta:
        balance.to_empty(device="cpu").load_state_dict(_state_on_cpu())
    with torch.device("cpu"):
        parts = torch.tensor(0.75, dtype=torch.float32), torch.tensor(0.25, dtype=torch.float32)
    assert balance.update(*parts, has_positives=True) == 4
    assert scale_to_value(parts[1], parts[0]) == 0.75


def _state_on_cpu():
    with torch.device("cpu"):
        return SelfBalance(1).state_dict()
