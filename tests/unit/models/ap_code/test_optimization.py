"""Self-balance at epoch ends, and steps that are none."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from rankdet.errors import InputError
from rankdet.models.ap_code.training import (
    CountedLinearLR,
    NonZeroOptimWrapper,
    RenewSelfBalance,
    WindowedSelfBalance,
)
from rankdet.models.build import load_config


def step(balance, classification, localization):
    return float(balance.update(torch.tensor(classification), torch.tensor(localization)))


def test_the_weight_of_an_epoch_is_constant_and_its_end_renews_it():
    balance = WindowedSelfBalance(initial=50.0, window=10, interval=2, entries=10)
    assert [step(balance, 0.9, 0.1) for _ in range(5)] == [50.0] * 5
    balance.end_epoch()
    assert step(balance, 0.9, 0.1) == pytest.approx((0.9 + 0.1) / 0.1)


def test_a_period_ends_epochs_where_nobody_says_so():
    told = WindowedSelfBalance(window=10, interval=2)
    counted = WindowedSelfBalance(window=10, interval=2, period=3)
    for iteration in range(8):
        if iteration in (3, 6):
            told.end_epoch()
        losses = 0.9 / (iteration + 1), 0.2
        assert step(told, *losses) == step(counted, *losses)


def test_an_epoch_without_positives_leaves_the_weight():
    balance = WindowedSelfBalance(period=2)
    assert [step(balance, 0.0, 0.0) for _ in range(5)] == [50.0] * 5


def test_the_state_survives_an_interruption():
    balance = WindowedSelfBalance(window=4, interval=2, entries=3, period=5)
    for iteration in range(7):
        step(balance, 1.0 / (iteration + 1), 0.1)
    resumed = WindowedSelfBalance(window=4, interval=2, entries=3, period=5)
    resumed.load_state_dict(copy.deepcopy(balance.state_dict()))
    for iteration in range(7):
        losses = 0.5 / (iteration + 1), 0.3
        assert step(balance, *losses) == step(resumed, *losses)


def test_a_fresh_one_has_the_settings_and_no_history():
    balance = WindowedSelfBalance(initial=7.0, window=4, interval=2, entries=3, period=2)
    for _ in range(5):
        step(balance, 0.9, 0.1)
    fresh = balance.fresh()
    unused = WindowedSelfBalance(initial=7.0, window=4, interval=2, entries=3, period=2)
    assert fresh.settings == unused.settings
    for name, value in unused.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)
    assert float(balance.weight) == pytest.approx(10.0)


def test_the_hook_ends_epochs_of_epoch_based_runs_only():
    waiting, counting = WindowedSelfBalance(), WindowedSelfBalance(period=100)
    for balance in (waiting, counting):
        step(balance, 0.9, 0.1)
    RenewSelfBalance().after_train_epoch(
        SimpleNamespace(model=nn.ModuleList([waiting, counting, nn.Linear(1, 1)]))
    )
    assert float(waiting.weight) == pytest.approx(10.0)
    assert float(counting.weight) == 50.0


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="interval >= 1"):
        WindowedSelfBalance(interval=0)


def test_the_official_run_ends_epochs_by_hook():
    own = load_config("ext_alrp_ap_r50_500")
    assert [hook.type for hook in own.custom_hooks] == ["RenewSelfBalance"]
    assert "period" not in own.model.bbox_head.self_balance


def optimizer():
    parameter = nn.Parameter(torch.ones(()))
    sgd = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.1)
    return parameter, NonZeroOptimWrapper(sgd)


def test_a_loss_of_zero_changes_nothing_and_is_no_step_of_the_warm_up():
    parameter, wrapper = optimizer()
    warm_up = CountedLinearLR(wrapper, start_factor=0.5, by_epoch=False, begin=0, end=3)
    wrapper.update_params(parameter * 2)  # fills the momentum
    warm_up.step()
    value, rate = parameter.item(), wrapper.get_lr()["lr"]
    wrapper.update_params(parameter * 0)
    warm_up.step()
    assert (parameter.item(), wrapper.get_lr()["lr"]) == (value, rate)
    wrapper.update_params(parameter * 2)
    warm_up.step()
    assert parameter.item() != value and wrapper.get_lr()["lr"] != rate


def test_the_warm_up_reaches_the_full_rate_at_step_500():
    parameter, wrapper = optimizer()
    rule = load_config("ext_ap_r50_500").param_scheduler[0]
    warm_up = CountedLinearLR(wrapper, **{k: v for k, v in rule.items() if k != "type"})
    rates = []
    for _ in range(510):
        rates.append(wrapper.get_lr()["lr"][0])
        wrapper.update_params(parameter)
        warm_up.step()
    expected = [0.1 * min(1, 1 / 3 + 2 / 3 * k / 500) for k in range(510)]
    assert rates == pytest.approx(expected, rel=1e-9)
