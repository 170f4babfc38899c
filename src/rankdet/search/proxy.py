"""A proxy training of the search: short, with one reward at its end.

Source: Tao et al., NeurIPS 2021, section on the search, and its official code.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from rankdet.catalogue.presets import get_preset
from rankdet.datasets.manifest import Manifest
from rankdet.errors import InputError
from rankdet.models.build import load_config
from rankdet.training.presets import apply_preset
from rankdet.training.processes import set_batch_size
from rankdet.training.resolve import connect_data
from rankdet.training.runner import prepare_runner, use_threads
from rankdet.training.step import is_about_not_finite
from rankdet.training.work_dir import FIRST_EDITION, SETTINGS

DECIMALS = 3  # of a reward of the published search, as mmdet 2 logs an AP
MOST_WITHOUT_LOSS = 50  # iterations without a usable loss, before a proxy is stopped
NMS_IOU = 0.5  # for every proxy, whatever the entry's


class ProxyFailed(RuntimeError):
    """The proxy learns nothing; its reward is 0."""


@HOOKS.register_module()
class FailRule(Hook):
    """Stop a proxy after more than 50 iterations in which a loss was NaN or within 1e-6 of 1.

    The loss is exactly 1 if the scores are so far apart that no pair has a gradient.

    Args:
        of_total: check only the total loss, like the published search. This misses a head of Faster
            R-CNN that learns nothing, because the total includes the other head's loss.
            Otherwise each term is checked.
    """

    def __init__(self, of_total: bool = False) -> None:
        self.of_total = of_total
        self.count = 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Count the iteration if it had no usable loss."""
        terms = [
            float(torch.as_tensor(value).detach())
            for name, value in (outputs or {}).items()
            if (name == "loss" if self.of_total else "loss_" in name)
        ]
        self.count += any(math.isnan(value) or abs(value - 1) <= 1e-6 for value in terms)
        if self.count > MOST_WITHOUT_LOSS:
            raise ProxyFailed(f"{self.count} iterations with a loss of NaN or 1")


@HOOKS.register_module()
class Reward(Hook):
    """Keep the final validation metrics."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Keep the latest metrics."""
        self.metrics = dict(metrics or {})


def searched_heads(model: ConfigDict) -> dict[str, ConfigDict]:
    """Return the heads of a model that have Parameterized AP Loss: retina, or rpn and roi."""
    places = {
        "retina": model.get("bbox_head"),
        "rpn": model.get("rpn_head"),
        "roi": model.get("roi_head", {}).get("bbox_head"),
    }
    return {
        name: head
        for name, head in places.items()
        if head and head.get("loss_cls", {}).get("type") == "ParameterizedApLoss"
    }


def head_settings(entry_id: str) -> dict[str, dict]:
    """Return control points and gradient scale by head, as the entry's config has them."""
    return {
        name: {
            "control_points": [list(map(float, row)) for row in head.loss_cls.control_points],
            "box_gradient_scale": float(head.box_gradient_scale),
        }
        for name, head in searched_heads(load_config(entry_id).model).items()
    }


def set_heads(model: ConfigDict, heads: dict[str, dict]) -> None:
    """Set control points and gradient scales.

    Raises:
        InputError: if the model has other heads.
    """
    own = searched_heads(model)
    if set(own) != set(heads):
        raise InputError(
            f"the heads with Parameterized AP Loss, {', '.join(own) or 'none'}",
            ", ".join(heads),
            "correct `heads` of the search, or its entry",
        )
    for name, head in own.items():
        head.loss_cls.control_points = heads[name]["control_points"]
        head.box_gradient_scale = heads[name]["box_gradient_scale"]


def proxy_config(
    config: Config,
    preset_name: str,
    data: Manifest,
    batch_size: int,
    iterations: int | None = None,
    epochs: int | None = None,
) -> Config:
    """Return ``config`` shortened to a proxy training on ``data``.

    With preset paper: ``epochs`` epochs at the entry's learning rate after its warm-up, then
    constant, with the published fail rule and rounding of the reward; other presets:
    ``iterations`` of the preset's own schedule. Pools keep the size of the
    preset, so that one device ranks what each of eight devices did.
    """
    preset = get_preset(preset_name)
    if preset.iterations is not None:
        preset = replace(preset, iterations=iterations or preset.iterations)
    apply_preset(config, preset)
    connect_data(config, data)
    set_batch_size(config, batch_size)
    for part in (config.model.test_cfg, config.model.test_cfg.get("rcnn", {})):
        if "score_thr" in part:
            part.nms.iou_threshold = NMS_IOU
    if preset.iterations is None:
        config.train_cfg = ConfigDict(
            type="EpochBasedTrainLoop", max_epochs=epochs or 1, val_interval=epochs or 1
        )
        config.param_scheduler = config.param_scheduler[:1]
        config.proxy = dict(of_total=True, decimals=DECIMALS)
    else:
        config.train_cfg.val_interval = preset.iterations
        config.proxy = dict(of_total=False, decimals=None)
    config.default_hooks = dict(
        logger=dict(type="LoggerHook", interval=50),
        checkpoint=None,  # a proxy is too short for checkpoints
    )
    return config


def _refuse_other_training(work_dir: Path) -> None:
    """Refuse the work directory of `rankdet train`, whose record would be overwritten."""
    if (work_dir / SETTINGS).exists() or (work_dir / FIRST_EDITION).exists():
        got = f"{work_dir} of a `rankdet train`"
        raise InputError("a work directory for this search only", got, "choose another --work-dir")


def train_proxy(
    config: Config, work_dir: Path, label: str, seed: int = 0, threads: int | None = None
) -> dict:
    """Train and return ``reward`` (box AP, 0-1), ``failed`` and, if so, ``reason``, ``seconds``."""
    use_threads(threads)
    begin = time.time()
    _refuse_other_training(work_dir)
    path = str(work_dir / "training.jsonl")
    Path(path).unlink(missing_ok=True)
    reward = Reward()
    config.custom_hooks = [
        dict(type="TrainingRecord", path=path, label=label),
        dict(type="FailRule", of_total=config.proxy.of_total),
    ]
    runner = prepare_runner(config, work_dir, seed, None)
    runner.register_hook(reward)
    outcome: dict[str, Any] = {"reward": 0.0, "failed": True}
    try:
        runner.train()
        value = reward.metrics.get("rankdet/bbox/AP")
        if value is None:
            raise InputError("a box AP at the end", "none", "use a validation set with objects")
        decimals = config.proxy.decimals
        found = float(value) if decimals is None else round(float(value), decimals)
        outcome = {"reward": found, "failed": False}
    except ProxyFailed as error:
        outcome["reason"] = str(error)
    except InputError as error:
        # Our losses refuse values that are not finite; the published code continued with NaN.
        if not is_about_not_finite(error):
            raise
        outcome["reason"] = "values that are not finite"
    return outcome | {"seconds": round(time.time() - begin, 1)}
