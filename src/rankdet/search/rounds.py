"""The result of a finished search: its best sample, its final mean, and which one is used.

The released code does not select a result: the numbers were copied by hand, and it is not known
whether the tables of the paper are a sample or a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import write_json
from rankdet.search.plan import Plan
from rankdet.search.policy import PER_HEAD, START, Policy, meaning, next_sigma, update

CHOICES = ("best", "mean")


def conclude(
    states: Sequence[State], rounds: Sequence[Sequence[dict]], published: dict, use: str
) -> dict:
    """Return the content of ``found.json``.

    Args:
        states: the state of every round, and the one after the last.
        rounds: the samples of every round.
        published: control points and gradient scale by head of the entry's own config.
        use: "best" or "mean".

    Raises:
        InputError: for another choice, or if no sample has a positive reward.
    """
    if use not in CHOICES:
        raise InputError("best or mean", repr(use), "choose one of them")
    plan, last = states[-1].plan, states[-1].policy
    every = [sample for samples in rounds for sample in samples]
    best = max(every, key=lambda sample: sample["reward"])  # the first one of equals
    if best["reward"] <= 0:
        raise InputError(
            "a sample with a reward above 0",
            f"{len(every)} samples with reward 0",
            "train the proxies longer",
        )
    found = {
        "best": {
            **{key: best[key] for key in ("round", "sample", "reward")},
            "heads": meaning(best["theta"], plan.heads),
        },
        "mean": {"sigma": last.sigma, "heads": meaning(last.mean, plan.heads)},
    }
    return {
        "plan": plan.as_json(),
        "used": use,
        "heads": found[use]["heads"],
        **found,
        "start": meaning(START * len(plan.heads), plan.heads),
        "published": published,
        "rounds": [
            {
                "sigma": state.policy.sigma,
                "rewards": [sample["reward"] for sample in samples],
                "failed": sum(sample["failed"] for sample in samples),
                "seconds": round(sum(sample["seconds"] for sample in samples), 1),
            }
            for state, samples in zip(states, rounds, strict=False)
        ],
    }


def config_text(found: dict, base: str | Path) -> str:
    """Return a config that inherits from ``base``, with the chosen points and scales."""
    places = {
        "retina": "    bbox_head=dict({})",
        "rpn": "    rpn_head=dict({})",
        "roi": "    roi_head=dict(bbox_head=dict({}))",
    }
    heads = []
    for name, head in found["heads"].items():
        rows = "".join(f"                {_rounded(row)},\n" for row in head["control_points"])
        inside = (
            f"\n        box_gradient_scale={head['box_gradient_scale']:.6g},\n"
            f"        loss_cls=dict(\n            control_points=[\n{rows}            ])"
        )
        heads.append(places[name].format(inside))
    plan = found["plan"]
    lines = [
        f"# Found by search {plan['name']!r} ({plan['rounds']} rounds of {plan['samples']}), ",
        f"# {'its best sample' if found['used'] == 'best' else 'its final mean'}.",
        f"_base_ = [{str(base)!r}]",
        "model = dict(\n" + ",\n".join(heads) + ")",
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rounded(row: Sequence[float]) -> list[float]:
    return [round(value, 6) for value in row]


LARGEST = 1e12  # for numbers in these files; no search writes larger ones


@dataclass(frozen=True)
class State:
    """The policy of a round.

    Attributes:
        plan: the search it belongs to.
        turn: the round, from 0; ``plan.rounds`` is the end.
        policy: its samples are drawn from.
    """

    plan: Plan
    turn: int
    policy: Policy

    def theta(self, index: int) -> list[float]:
        """Return the numbers of a sample of this round."""
        if self.turn >= self.plan.rounds or not 0 <= index < self.plan.samples:
            raise InputError(
                f"one of {self.plan.samples} samples in one of {self.plan.rounds} rounds",
                f"sample {index} of round {self.turn}",
                "count both from 0",
            )
        return self.policy.sample(self.plan.seed, self.turn, index)

    def write(self, path: str | Path) -> None:
        """Write the state to ``path``."""
        content = {
            "plan": self.plan.as_json(),
            "round": self.turn,
            "sigma": self.policy.sigma,
            "logits": list(self.policy.logits),
            "mean": self.policy.mean,
        }
        write_json(path, content)


def start(plan: Plan) -> State:
    """Return the state before the first round: identity lines, gradient scale 1."""
    return State(plan, 0, Policy.around(START * len(plan.heads)))


def read_state(path: str | Path) -> State:
    """Read a state; anything else is an `InputError`."""
    content = read_json(path, "the state of a search")
    try:
        settings = dict(content["plan"])
        plan = Plan.of(settings.pop("name"), settings)
        policy = Policy(tuple(content["logits"]), content["sigma"])
        if not _fits(policy, content["round"], plan):
            raise TypeError("numbers that do not match this search")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "a state.json written by `rankdet search`", f"{path} ({error})", "write it again"
        ) from None
    return State(plan, content["round"], policy)


def _fits(policy: Policy, turn: object, plan: Plan) -> bool:
    return (
        len(policy.logits) == PER_HEAD * len(plan.heads)
        and all(map(_is_number, policy.logits))
        and _is_number(policy.sigma)
        and 0 < policy.sigma <= 1
        and isinstance(turn, int)
        and not isinstance(turn, bool)
        and 0 <= turn <= plan.rounds
    )


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < LARGEST


def heads_of(state: State, index: int) -> dict[str, dict]:
    """Return control points and gradient scale by head, for the proxy training.

    With the behavior of the released code (``apply_gradient_scale`` off) the scale is always 1.
    """
    heads = meaning(state.theta(index), state.plan.heads)
    if not state.plan.apply_gradient_scale:
        heads = {name: {**head, "box_gradient_scale": 1.0} for name, head in heads.items()}
    return heads


def finished(path: Path, state: State, index: int) -> dict | None:
    """Return the sample at ``path`` if it is this sample with its reward; else None."""
    if not path.exists():
        return None
    content = _read_sample(path)
    same = (
        content.get("theta") == state.theta(index) and content.get("plan") == state.plan.as_json()
    )
    return content if same else None


def write_sample(path: Path, state: State, index: int, outcome: dict) -> dict:
    """Write a sample with the outcome of its proxy: ``reward``, ``failed``, ..."""
    content = {
        "plan": state.plan.as_json(),
        "round": state.turn,
        "sample": index,
        "theta": state.theta(index),
        **outcome,
    }
    write_json(path, content)
    return content


def _read_sample(path: str | Path) -> dict:
    """Read a sample with its reward; anything else is an `InputError`."""
    content = read_json(path, "a sample of a search")
    numbers = ("round", "sample", "reward", "seconds")
    if (
        not isinstance(content, dict)
        or not all(_is_number(content.get(name)) for name in numbers)
        or not isinstance(content.get("failed"), bool)
    ):
        raise InputError(
            "a sample written by `rankdet search`", str(path), "delete it and run it again"
        )
    return content


def read_samples(paths: Sequence[str | Path], state: State) -> list[dict]:
    """Read all samples of a round, in any order; return them by index.

    Raises:
        InputError: unless every sample of the round is present once and drawn from this state.
    """
    found = sorted(map(_read_sample, paths), key=lambda sample: sample["sample"])
    indices = [sample["sample"] for sample in found]
    if indices != list(range(state.plan.samples)):
        raise InputError(
            f"the {state.plan.samples} samples of round {state.turn}",
            f"samples {indices}",
            "run the missing ones",
        )
    for sample in found:
        if sample["round"] != state.turn or sample.get("theta") != state.theta(sample["sample"]):
            raise InputError(
                f"samples drawn from the state of round {state.turn}",
                f"sample {sample['sample']} of round {sample['round']}, from another one",
                "delete it and run it again",
            )
    return found


def after(state: State, samples: Sequence[dict]) -> State:
    """Return the state after a round, given all its samples."""
    sigma = next_sigma(state.policy.sigma, state.turn, state.plan.rounds)
    thetas = [sample["theta"] for sample in samples]
    rewards = [sample["reward"] for sample in samples]
    return State(state.plan, state.turn + 1, update(state.policy, thetas, rewards, sigma))
