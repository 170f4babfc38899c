"""Optimiser and schedule."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict

from rankdet.training.facts.nodes import plain


def epochs(config: Config) -> str:
    """Return the epochs of the run."""
    return str(config.train_cfg.max_epochs)


def optimizer(config: Config) -> str:
    """Return its name."""
    return config.optim_wrapper.optimizer.type


def base_lr(config: Config) -> str:
    """Return the learning rate after the warm-up."""
    return str(config.optim_wrapper.optimizer.lr)


def momentum(config: Config) -> str:
    """Return the momentum, of SGD only."""
    return str(config.optim_wrapper.optimizer.get("momentum", ""))


def weight_decay(config: Config) -> str:
    """Return the weight decay."""
    return str(config.optim_wrapper.optimizer.weight_decay)


def grad_clip(config: Config) -> str:
    """Return the clipping of gradients; empty if there is none."""
    clip = config.optim_wrapper.get("clip_grad")
    return f"max_norm={clip.max_norm} norm_type={clip.norm_type}" if clip else ""


def _warm_up(config: Config) -> ConfigDict | None:
    steps = config.param_scheduler
    return next(
        (step for step in steps if step.type.endswith("LinearLR") and not step.by_epoch), None
    )


def _main(config: Config) -> ConfigDict:
    return next(step for step in config.param_scheduler if step.type != "LinearLR")


def lr_policy(config: Config) -> str:
    """Return step or CosineAnnealing."""
    kind = _main(config).type
    return {"MultiStepLR": "step", "CosineAnnealingLR": "CosineAnnealing"}.get(kind, kind)


def lr_steps(config: Config) -> str:
    """Return the epochs at which the learning rate falls to a tenth."""
    schedule = _main(config)
    if schedule.type == "MultiStepLR":
        gamma = schedule.get("gamma", 0.1)
        return str(plain(schedule.milestones)) + ("" if gamma == 0.1 else f" gamma {gamma}")
    lowest = schedule.get("eta_min_ratio")
    if lowest is None:
        lowest = schedule.get("eta_min", 0.0) / config.optim_wrapper.optimizer.lr
    return f"min_lr_ratio={lowest}"


def warmup(config: Config) -> str:
    """Return linear, if there is a warm-up."""
    return "linear" if _warm_up(config) else ""


def warmup_iters(config: Config) -> str:
    """Return the iteration, counted from 0, that has the full rate first."""
    found = _warm_up(config)
    return str(found.end - found.get("begin", 0) - 1) if found else ""


def warmup_ratio(config: Config) -> str:
    """Return the share of the learning rate at which the warm-up starts."""
    found = _warm_up(config)
    return str(found.start_factor) if found else ""
