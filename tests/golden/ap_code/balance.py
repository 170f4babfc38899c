"""Kind ``selfbalance``."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS
from torch import nn

from rankdet.models.ap_code.training import WindowedSelfBalance
from rankdet.models.build import load_config
from tests.golden.ap_code.cases import Check, replays

DIGITS = 6e-6  # logged with five decimals


@replays("selfbalance")
def replay_self_balance(check: Check) -> None:
    """Compare weights, logged means and learning rates over a training with made-up losses."""
    case, arrays = check.case, check.case.arrays
    config = load_config("ext_alrp_ap_r50_500")
    balance = WindowedSelfBalance(**config.model.bbox_head.self_balance)
    parameter = nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([parameter], lr=case.about["lr"])
    wrapper = OPTIM_WRAPPERS.build(dict(type=config.optim_wrapper.type, optimizer=optimizer))
    warm_up, steps = (
        PARAM_SCHEDULERS.build(dict(rule, optimizer=wrapper) | changes)
        for rule, changes in zip(
            config.param_scheduler, ({}, dict(milestones=case.about["milestones"])), strict=True
        )
    )
    # A process averages its pools in float32, as the official one its GPUs.
    losses = np.stack([arrays["cls"].mean(1), arrays["box"].mean(1)], 1)
    rows = iter(torch.from_numpy(losses))
    weights, rates, logged = [], [], []
    for epoch, length in enumerate(arrays["epoch_lengths"]):
        weights.append(float(balance.weight))
        for iteration in range(length):
            classification, localization = next(rows)
            before = int(balance.recorded)
            weight = balance.update(classification, localization)
            rate = optimizer.param_groups[0]["lr"]
            wrapper.update_params(parameter * 0 + classification + weight * localization)
            if not wrapper.was_skipped:
                rates.append(rate)
            if int(balance.recorded) > before:
                slot = before % balance.entry_means.shape[1]
                logged.append((epoch, iteration, *balance.entry_means[:, slot].tolist()))
            warm_up.step()
        balance.end_epoch()
        steps.step()
    check.close("weights", weights, arrays["weight_used"], 1e-9, True)
    check.close("last weight", float(balance.weight), arrays["weight_after_last_epoch"], 1e-9)
    check.close("learning rates", rates, arrays["lr_per_step"], 1e-12, True)
    for name, column, atol in (
        ("log_epoch", 0, 0),
        ("log_iter", 1, 0),
        ("log_cls_mean300_5dec", 2, DIGITS),
        ("log_box_mean300_5dec", 3, DIGITS),
    ):
        check.close(name, [line[column] for line in logged], arrays[name], atol)
