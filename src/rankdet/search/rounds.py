"""The files of a search: what each job reads and writes.

``round-000/state.json`` is the policy of a round, ``round-000/sample-0.json`` a sample with its
reward, and a state and the samples of its round give the state of the next. Files are written in
one step, and depend only on the seed and the rewards, not on the order of the jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rankdet.errors import InputError
from rankdet.files import read_json
from rankdet.outputs import write_json
from rankdet.search.functions import PER_HEAD, START, meaning
from rankdet.search.plan import Plan
from rankdet.search.policy import Policy, next_sigma, update

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
