"""Official train steps on recorded batches: loss terms, norms, what is trained.

Losses of iteration 0 and how far the weights move must agree with the record. So must the losses of
iterations 1 and 2, unless weights times (1 + 1e-7 noise) change them more in our own run: then, as
for gradients and later iterations, a small multiple of that change is allowed, and noted.
"""

from __future__ import annotations

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

from rankdet.weights.convert import WRAPPER
from tests.golden.end_to_end.cases import Case, relative
from tests.golden.end_to_end.part import Part
from tests.golden.end_to_end.steps import Names, Step, official_config, run

STRICT = 3  # iterations that are compared one by one, and all that a quick replay runs
LOSS = 1e-5  # relative
GRADIENT = 1e-4  # norm of a part's gradient, relative
WEIGHT = 1e-7  # norm of a part's weights, relative
INPUT = 1e-5  # of the normalized image
SPREAD = 5  # times our own spread under noise is allowed
FEW = 2e-8  # of the norm: what float32 weights round to
# Recorded norm -> what a step has of it.
GRADIENTS = (("grads", "grads"), ("grads_clipped", "clipped"))


def compare_trajectory(part: Part, case: Case, work: Path, quick: bool = False) -> None:
    """Train on the recorded batches and compare every recorded number."""
    trajectory = case.json("trajectory.json")
    count = min(len(trajectory), case.batch_count())
    count = min(count, STRICT) if quick else count
    part.measured["iterations"] = count
    part.expect(count > 0, "no iteration to compare")
    _inputs(part, case, count)
    steps, start = run(case, work, count)
    others: list[list[Step]] = []
    if not quick and count > 1:
        others = [run(case, work, count, seed)[0] for seed in (1, 2)]
    found = Part(case.name, part.name)
    _compare(found, case, steps, start, others)
    if found.problems and not others:
        # Noise is only needed, and only paid for, where something misses without it.
        others = [run(case, work, count, seed)[0] for seed in (1, 2)]
        found = Part(case.name, part.name)
        _compare(found, case, steps, start, others)
    part.measured |= found.measured
    part.problems += found.problems
    part.notes += found.notes


def _compare(
    part: Part, case: Case, steps: list[Step], start: dict[str, float], others: list[list[Step]]
) -> None:
    """Compare every recorded number of the steps that were run."""
    trajectory = case.json("trajectory.json")
    before = start
    growth: dict[str, float] = {}
    for index, (step, record) in enumerate(zip(steps, trajectory, strict=False)):
        what = f"iteration {record['iter']}"
        noisy = [other[index] for other in others]
        _losses(part, what, index, step, record, noisy, growth)
        if index == 0 or noisy:
            _gradients(part, what, index, step, record, noisy, growth)
        for place, official in record.get("weights", {}).items():
            ours = step.weights[place]
            _number(part, "weights", f"{what}: weights of {place}", ours, official, WEIGHT)
        if index < STRICT:
            _moves(part, what, before, step, trajectory[max(index - 1, 0) : index + 1])
        before = step.weights


def _grow(growth: dict[str, float], name: str, ours: float, others: list[float]) -> float:
    """Return the spread under noise so far: two runs may meet by chance, and part again."""
    growth[name] = max(growth.get(name, 0.0), *(relative(other, ours) for other in others), 0.0)
    return growth[name]


def _losses(
    part: Part,
    what: str,
    index: int,
    step: Step,
    record: dict,
    noisy: list[Step],
    growth: dict[str, float],
) -> None:
    """Compare the terms: the first strictly, the next ones too unless rounding grows faster."""
    when = index if index < STRICT else "late"
    for name, official in record["losses"].items():
        ours = _term(part, step, record, name)
        spread = _grow(growth, name, ours, [_term(part, o, record, name) for o in noisy])
        error = relative(ours, official)
        if noisy:
            part.most(f"noise {when}", spread)
        allowed = LOSS if index == 0 else max(LOSS, SPREAD * spread)
        _number(part, f"losses {when}", f"{what}: {name}", ours, official, allowed)
        if index < STRICT and LOSS < error <= allowed:
            part.notes.append(
                f"{what}: {name} off by {error:.1e}, within rounding: noise of 1e-7 on our weights "
                f"changes it by {spread:.1e}"
            )


def _gradients(
    part: Part,
    what: str,
    index: int,
    step: Step,
    record: dict,
    noisy: list[Step],
    growth: dict[str, float],
) -> None:
    """Compare norms by part; what noise changes in one part, rounding may change in another."""
    for name, field in GRADIENTS:
        norms = getattr(step, field)
        for place in record.get(name, {}):
            _grow(growth, name, norms[place], [getattr(o, field)[place] for o in noisy])
        allowed = max(GRADIENT, SPREAD * growth.get(name, 0.0))
        for place, official in record.get(name, {}).items():
            label = f"{what}: {name} of {place}"
            _number(part, f"{name} {min(index, 1)}+", label, norms[place], official, allowed)


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
