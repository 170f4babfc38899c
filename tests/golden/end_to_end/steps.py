"""Our train steps on recorded batches, with the recorded settings and every norm on the way."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config, ConfigDict
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import Tensor, nn

from rankdet.catalogue.presets import PRESETS
from rankdet.training.checkpoints import load_weights
from rankdet.training.resolve import resolve
from rankdet.training.shrink import nodes
from rankdet.training.start import forget_weights
from rankdet.weights.convert import OWN_STATE, RENAMING, WRAPPER, official_name
from tests.golden.end_to_end.cases import Case, norm_of
from tests.golden.end_to_end.weights import converted

NOISE = 1e-7
WHOLE = ("", "all", "total", "model")  # a part that is everything
BALANCE_PERIOD = 3  # of aLRP in recordings that do not say it


@dataclass(frozen=True)
class Step:
    """What one iteration gave: loss terms, norms by part after it, gradients before clipping."""

    losses: dict[str, float]
    weights: dict[str, float]
    grads: dict[str, float]
    clipped: dict[str, float]


def official_config(case: Case) -> Config:
    """Return the entry's config under preset paper, set to the recorded batch and balance."""
    config = resolve(case.entry_id, PRESETS["paper"], None)
    forget_weights(config)
    size = case.batch_size(0) if not case.lacks("batches.npz") else None
    said = re.search(r"period=(\d+)", " ".join(map(str, case.setup.get("args", ()))))
    for node in nodes(config.model):
        if "pool_images" in node and size:
            node.pool_images = size  # one official process ranked the whole recorded batch
        if "period" in node.get("self_balance", ()):
            node.self_balance.period = int(said[1]) if said else BALANCE_PERIOD
        if node.get("type") == "RankSortSOLOV2Head":
            node.official_order = True  # the documented switch to the order of the official code
    return config


def build(case: Case, work: Path) -> tuple[nn.Module, Config]:
    """Return our model with the official weights, ready to train."""
    config = official_config(case)
    register_all_modules()
    model = MODELS.build(config.model)
    load_weights(model, converted(case, work))
    return model.train(), config


class Names:
    """Official names of a model's parameters, and the recorded part that each belongs to.

    Args:
        model: ours.
        parts: starts of official names; where no official name starts so, of our names; or the
            whole model (`WHOLE`).
    """

    def __init__(self, model: nn.Module, parts: list[str]) -> None:
        renaming = RENAMING.get(type(model).__name__, ())
        named = {n: p for n, p in model.named_parameters() if OWN_STATE not in n}
        official = [official_name(name, renaming).removeprefix(WRAPPER) for name in named]
        self.parameters = dict(zip(official, named.values(), strict=True))
        self.members: dict[str, list[nn.Parameter]] = {part: [] for part in parts}
        for part in parts:
            if part in WHOLE:
                self.members[part] = list(named.values())
        longest = sorted(self.members.keys() - set(WHOLE), key=len, reverse=True)
        for names in (official, list(named)):
            missing = [part for part in longest if not self.members[part]]
            for name, parameter in zip(names, named.values(), strict=True):
                part = next((p for p in longest if _starts(name, p)), None)
                if part in missing:
                    self.members[part].append(parameter)

    def norms(self, of_gradient: bool) -> dict[str, float]:
        """Return the norm of each part."""
        found: dict[str, list[Tensor]] = {}
        for part, parameters in self.members.items():
            values = [p.grad if of_gradient else p for p in parameters]
            found[part] = norm_of([value for value in values if value is not None])
        return found


def _starts(name: str, part: str) -> bool:
    return name.startswith(part.removeprefix(WRAPPER) + ".")


def run(
    case: Case, work: Path, count: int, noise: int | None = None
) -> tuple[list[Step], dict[str, float]]:
    """Train ``count`` iterations as recorded; return them, and the norms of the weights before.

    Args:
        case: the recording.
        work: where the converted weights lie.
        count: of iterations.
        noise: seed of the noise on the weights; None for the recorded weights.
    """
    trajectory = case.json("trajectory.json")
    model, config = build(case, work)
    if noise is not None:
        generator = torch.Generator().manual_seed(noise)
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data.mul_(1 + NOISE * drawn)
    names = Names(model, list(trajectory[0].get("weights", trajectory[0].get("grads", {}))))
    wrapper = build_optim_wrapper(model, _optimizer(config, case.setup))
    start = names.norms(False)
    before: list[dict[str, float]] = []
    clipped: list[dict[str, float]] = []
    backward = wrapper.backward

    def recorded_backward(loss: Tensor, **kwargs) -> None:
        backward(loss, **kwargs)
        before.append(names.norms(True))

    wrapper.backward = recorded_backward
    if wrapper.clip_grad_kwargs:
        wrapper._clip_grad = partial(_clip_as_recorded, wrapper)
    wrapper.optimizer.register_step_pre_hook(lambda *_: clipped.append(names.norms(True)))
    base = [group["lr"] for group in wrapper.param_groups]
    steps = []
    for record in trajectory[:count]:
        for group, own in zip(wrapper.param_groups, base, strict=True):
            group["lr"] = own * record["lr"] / wrapper.defaults["lr"]
        torch.manual_seed(record["iter"])
        logged = model.train_step(case.batch(record["iter"]), wrapper)
        losses = {name: float(value.detach()) for name, value in logged.items()}
        steps.append(Step(losses, names.norms(False), before[-1], clipped[-1]))
    return steps, start


def _clip_as_recorded(wrapper: OptimWrapper) -> None:
    """Clip with the norm that the recording machine found.

    Its torch 1.7.1 summed the squares of a tensor one after another in float32 on a CPU; a sum of
    a million of them comes out too small (SOLOv2: by 2.6e-4). No GPU and no later torch does so.
    """
    parameters = [p for group in wrapper.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    squares = [g.detach().float().numpy().ravel() ** 2 for g in gradients]
    total = sum(float(np.add.accumulate(square)[-1]) for square in squares) ** 0.5
    factor = wrapper.clip_grad_kwargs["max_norm"] / (total + 1e-6)
    for gradient in gradients if factor < 1 else ():
        gradient.mul_(factor)


def _optimizer(config: Config, setup: dict) -> ConfigDict:
    """Return our optimizer with the recorded settings in place of its own."""
    wrapper = copy.deepcopy(config.optim_wrapper)
    if "optimizer" in setup:
        wrapper.optimizer = ConfigDict(setup["optimizer"])
    clip = setup.get("optimizer_config", {}).get("grad_clip")
    wrapper.pop("clip_grad", None)
    if clip:
        wrapper.clip_grad = ConfigDict(clip)
    return wrapper
