"""Official train steps on recorded batches: loss terms, learning rates, norms, what is trained.

Losses of iterations 0 to 2 and gradients of iteration 0 must agree with the record. Later ones
drift as rounding does, there as here; they are judged by what weights times (1 + 1e-7 noise)
change in our own run. Where float32 misses a strict number, the same steps in float64 decide: if
those agree, only our rounding was in the way.
"""

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

from rankdet.models.official_names import OWN_STATE, RENAMING, official_name
from rankdet.training.checkpoints import load_weights
from rankdet.training.convert import WRAPPER
from rankdet.training.presets import PRESETS
from rankdet.training.resolve import resolve
from rankdet.training.shrink import nodes
from rankdet.training.start import forget_weights
from tests.golden.end_to_end.cases import Case, norm_of, relative
from tests.golden.end_to_end.part import Part
from tests.golden.end_to_end.weights import converted

STRICT = 3  # iterations whose losses are compared without an allowance for noise
LOSS = 1e-5  # relative
GRADIENT = 1e-4  # norm of a part's gradient, relative
WEIGHT = 1e-7  # norm of a part's weights, relative
INPUT = 1e-5  # of the normalized image
NOISE = 1e-7
SPREAD = 5  # times our own spread under noise is allowed after the first iterations
BALANCE_PERIOD = 3  # of aLRP in recordings that do not say it
FEW = 2e-8  # of the norm: what float32 weights round to


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
    """Official names of a model's parameters, and the recorded part that each belongs to."""

    def __init__(self, model: nn.Module, parts: list[str]) -> None:
        renaming = RENAMING.get(type(model).__name__, ())
        self.parameters = {
            official_name(name, renaming).removeprefix(WRAPPER): value
            for name, value in model.named_parameters()
            if OWN_STATE not in name
        }
        self.parts = sorted(parts, key=len, reverse=True)

    def norms(self, of_gradient: bool) -> dict[str, float]:
        """Return the norm of each part."""
        found: dict[str, list[Tensor]] = {part: [] for part in self.parts}
        for name, parameter in self.parameters.items():
            part = next((p for p in self.parts if name.startswith(p + ".")), None)
            value = parameter.grad if of_gradient else parameter
            if part is not None and value is not None:
                found[part].append(value)
        return {part: norm_of(values) for part, values in found.items()}


def run(
    case: Case, work: Path, count: int, noise: int | None = None, double: bool = False
) -> tuple[list[Step], Step]:
    """Train ``count`` iterations as recorded; return them, and the norms before the first.

    Args:
        case: the recording.
        work: where the converted weights lie.
        count: of iterations.
        noise: seed of the noise on the weights; None for the recorded weights.
        double: compute in float64.
    """
    if double:
        torch.set_default_dtype(torch.float64)
    try:
        return _run(case, work, count, noise, double)
    finally:
        torch.set_default_dtype(torch.float32)


def _run(
    case: Case, work: Path, count: int, noise: int | None, double: bool
) -> tuple[list[Step], Step]:
    trajectory = case.json("trajectory.json")
    model, config = build(case, work)
    if double:
        _use_double(model)
    if noise is not None:
        generator = torch.Generator().manual_seed(noise)
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data.mul_(1 + NOISE * drawn)
    names = Names(model, list(trajectory[0].get("weights", trajectory[0].get("grads", {}))))
    wrapper = build_optim_wrapper(model, _optimizer(config, case.setup))
    start = Step({}, names.norms(False), {}, {})
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


def _use_double(model: nn.Module) -> None:
    """Let a model compute in float64, from its normalized images and boxes on."""
    model.double()
    prepare = model.data_preprocessor.forward

    def prepare_double(data: dict, training: bool = False) -> dict:
        found = prepare(data, training)
        found["inputs"] = found["inputs"].double()
        for sample in found["data_samples"]:
            sample.gt_instances.bboxes = sample.gt_instances.bboxes.double()
        return found

    model.data_preprocessor.forward = prepare_double


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


def compare_trajectory(part: Part, case: Case, work: Path, quick: bool = False) -> None:
    """Train on the recorded batches and compare every recorded number."""
    trajectory = case.json("trajectory.json")
    count = min(len(trajectory), case.batch_count())
    count = min(count, STRICT) if quick else count
    part.measured["iterations"] = count
    part.expect(count > 0, "no iteration to compare")
    _inputs(part, case, count)
    steps, start = run(case, work, count)
    first = Part(case.name, part.name)
    _strict(first, steps, start, trajectory)
    part.measured |= first.measured
    if first.problems:
        exact = Part(case.name, part.name)
        _strict(exact, *run(case, work, min(count, STRICT), double=True), trajectory)
        part.measured |= {f"{name} in float64": value for name, value in exact.measured.items()}
        if exact.problems:
            part.problems += first.problems
        else:
            part.notes += [f"{problem}; float64 agrees" for problem in first.problems]
    seeds = () if quick or count == 1 else (1, 2)
    others = [run(case, work, count, seed)[0] for seed in seeds]
    for index in range(1, count if others else 0):
        noisy = [other[index] for other in others]
        _late(part, index, steps[index], trajectory[index], noisy)


def _strict(part: Part, steps: list[Step], start: Step, trajectory: list[dict]) -> None:
    """Compare what must agree whatever the noise."""
    before = start.weights
    for index, (step, record) in enumerate(zip(steps, trajectory, strict=False)):
        what = f"iteration {record['iter']}"
        for name, official in record["losses"].items() if index < STRICT else ():
            _number(
                part, "losses", f"{what}: {name}", _term(part, step, record, name), official, LOSS
            )
        for place, official in record.get("weights", {}).items():
            ours = step.weights[place]
            _number(part, "weights", f"{what}: weights of {place}", ours, official, WEIGHT)
        for name, field in GRADIENTS if index == 0 else ():
            for place, official in record.get(name, {}).items():
                ours = getattr(step, field)[place]
                _number(part, name, f"{what}: {name} of {place}", ours, official, GRADIENT)
        if index < STRICT:
            _moves(part, what, before, step, trajectory[max(index - 1, 0) : index + 1])
        before = step.weights


def _late(part: Part, index: int, step: Step, record: dict, noisy: list[Step]) -> None:
    """Compare what rounding has changed, with what noise changes."""
    what = f"iteration {record['iter']}"
    for name, official in record["losses"].items() if index >= STRICT else ():
        ours = _term(part, step, record, name)
        spread = _spread(ours, [_term(part, other, record, name) for other in noisy])
        part.most("noise", spread)
        allowed = max(LOSS, SPREAD * spread)
        _number(part, "losses late", f"{what}: {name}", ours, official, allowed)
    for name, field in GRADIENTS:
        for place, official in record.get(name, {}).items():
            ours = getattr(step, field)[place]
            spread = _spread(ours, [getattr(other, field)[place] for other in noisy])
            allowed = max(GRADIENT, SPREAD * spread)
            label = f"{what}: {name} of {place}"
            _number(part, f"{name} late", label, ours, official, allowed)


def _number(part: Part, kind: str, what: str, ours: float, official: float, allowed: float) -> None:
    error = relative(ours, official)
    part.most(kind, error)
    part.expect(
        error <= allowed,
        f"{what} {ours:.9g}, official {official:.9g}, relative error {error:.1e} of {allowed:.1e}",
    )


def _term(part: Part, step: Step, record: dict, name: str) -> float:
    """Return our loss term of an official name.

    A term that has another name here is found by its value among those without an official name;
    a term that is not here at all agrees with none of them.
    """
    if name in step.losses:
        return step.losses[name]
    others = {ours: value for ours, value in step.losses.items() if ours not in record["losses"]}
    if not others:
        return float("nan")
    official = record["losses"][name]
    nearest = min(others, key=lambda ours: abs(others[ours] - official))
    note = f"the official term {name} is {nearest} here"
    if note not in part.notes:
        part.notes.append(note)
    return others[nearest]


def _inputs(part: Part, case: Case, count: int) -> None:
    """Compare what the network sees of the recorded batches, where that is recorded."""
    preprocessor = MODELS.build(official_config(case).model.data_preprocessor)
    for index in range(count):
        shape = case.batches.get(f"b{index}_shape")
        ours = preprocessor(case.batch(index), True)["inputs"]
        if shape is not None:
            part.equal(f"shape of batch {index}", list(ours.shape), shape.tolist())
        official = case.batches.get(f"b{index}_tensor")
        if official is not None and ours.shape == official.shape:
            error = float((ours - torch.from_numpy(official)).abs().max())
            part.most("network input", error)
            part.expect(error <= INPUT, f"network input of batch {index} off by {error:.1e}")


def _moves(part: Part, what: str, before: dict, step: Step, records: list[dict]) -> None:
    """Compare how far the weights moved: their norms alone would hide a step left out.

    Args:
        part: where misses go.
        what: the iteration, for messages.
        before: our norms before it.
        step: ours.
        records: the official iteration, and the one before it if it is not the first.
    """
    for place, now in records[-1].get("weights", {}).items():
        earlier = records[0]["weights"][place] if len(records) > 1 else before[place]
        official, ours = now - earlier, step.weights[place] - before[place]
        allowed = 1e-2 * abs(official) + FEW * now
        part.most("moves", abs(ours - official) / allowed)
        part.expect(
            abs(ours - official) <= allowed,
            f"{what}: norm of {place} moved by {ours:.3e}, official {official:.3e}",
        )


# Recorded norm -> what a step has of it.
GRADIENTS = (("grads", "grads"), ("grads_clipped", "clipped"))


def _spread(ours: float, others: list[float]) -> float:
    return max((relative(other, ours) for other in others), default=0.0)


def compare_setup(part: Part, case: Case) -> None:
    """Compare optimizer, clipping and trained tensors of our config with the recorded ones."""
    setup = case.setup
    config = official_config(case)
    ours = config.optim_wrapper
    for name, official in setup.get("optimizer", {}).items():
        part.equal(f"optimizer {name}", ours.optimizer.get(name), official)
    if "optimizer" in setup:
        clip = (setup.get("optimizer_config") or {}).get("grad_clip")
        own = ours.get("clip_grad")
        part.equal("clipping of gradients", dict(own) if own else None, clip)
    if "requires_grad" in setup:
        register_all_modules()
        model = MODELS.build(config.model).train()
        named = Names(model, []).parameters
        trained = {name for name, value in named.items() if value.requires_grad}
        official = {name.removeprefix(WRAPPER) for name in setup["requires_grad"]}
        part.measured["trained tensors"] = len(official)
        for side, names in (
            ("here only", trained - official),
            ("official only", official - trained),
        ):
            part.expect(not names, f"trained {side}: {len(names)}, first {sorted(names)[:3]}")
